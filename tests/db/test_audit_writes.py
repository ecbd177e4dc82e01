from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Select
from sqlalchemy.dialects import sqlite as dialect
from sqlalchemy.engine import Connection

from licet.db import audit_reads, audit_writes
from licet.db.audit_codec import RECORD_TYPES
from licet.db.audit_records import AuditCursor, AuditQuery
from licet.db.postgres import PostgresDb
from licet.db.postgres_backend import PostgresBackend
from licet.db.postgres_url import parse_postgres_url
from licet.db.records import SessionKey
from licet.db.sqlite import SqliteBackend, SqliteDb
from licet.db.trust_records import TRUST_TOPIC
from licet.db.writes import Statement, Write
from licet.errors import ConflictError
from tests.contract.audit_rows import all_batches, all_records, append, batch, records, writer
from tests.db.conftest import db_of, until_somebody_waits_for_a_lock
from tests.support.postgres import EmbeddedPostgres

PLACE = AuditCursor(5, "w", 2)

APPENDS_FOR_EVER = """
import asyncio, sys
from licet.db.sqlite import SqliteDb
from tests.contract.audit_rows import append, records

async def main():
    db = SqliteDb(sys.argv[1])
    number = 0
    while True:
        number += 1
        await append(db, records(50 * number - 49, 50 * number), number)
        print(number, flush=True)

asyncio.run(main())
"""


def rows_of(connection: Connection, sql: str) -> list[Any]:
    return list(connection.exec_driver_sql(sql).all())


async def plan_of(db: SqliteDb, statement: Select[Any]) -> list[str]:
    compiled = statement.compile(dialect=dialect.dialect(), compile_kwargs={"literal_binds": True})
    sql = f"EXPLAIN QUERY PLAN {compiled}"
    return [step[3] for step in await db.read(lambda connection: rows_of(connection, sql))]


@pytest.mark.parametrize(
    ("statement", "index", "bounds"),
    [
        (audit_reads.last_writer(), "licet_audit_writers_number", ""),
        (audit_reads.writers_after(5, 9), "licet_audit_writers_number", "number>?"),
        (
            audit_reads.records_after("w", 5, 9),
            "sqlite_autoindex_licet_audit_1",
            "writer_id=? AND seq>?",
        ),
        (
            audit_reads.batches_after("w", 5, 9),
            "sqlite_autoindex_licet_audit_batches_1",
            "writer_id=? AND number>?",
        ),
        (audit_reads.records_found(AuditQuery()), "licet_audit_time", ""),
        (
            audit_reads.records_found(AuditQuery(decision="deny", before=PLACE)),
            "licet_audit_time",
            "(time_us,writer_id,seq)<(?,?,?)",
        ),
        (
            audit_reads.records_found(AuditQuery(after=PLACE, oldest_first=True)),
            "licet_audit_time",
            "(time_us,writer_id,seq)>(?,?,?)",
        ),
        (
            audit_reads.records_found(AuditQuery(since_us=1, until_us=9)),
            "licet_audit_time",
            "time_us>? AND time_us<?",
        ),
    ],
)
async def test_what_is_read_is_found_by_an_index_and_comes_in_its_order(
    tmp_path: Path, statement: Select[Any], index: str, bounds: str
) -> None:
    db = SqliteDb(tmp_path / "licet.db")
    # One step: what came in another order would be sorted in a second.
    (found,) = await plan_of(db, statement)
    await db.close()
    assert found.endswith(f"USING INDEX {index} ({bounds})" if bounds else f"USING INDEX {index}")


async def test_what_somebody_did_is_found_by_an_index(tmp_path: Path) -> None:
    db = SqliteDb(tmp_path / "licet.db")
    query = AuditQuery(issuer_alias="main", subject="alice", since_us=1)
    first, *sorting = await plan_of(db, audit_reads.records_found(query))
    await db.close()
    assert first.endswith("licet_audit_subject (issuer_alias=? AND subject=? AND time_us>?)")
    # Only what has one and the same time.
    assert sorting == ["USE TEMP B-TREE FOR RIGHT PART OF ORDER BY"]


@pytest.mark.parametrize(
    "query",
    [
        AuditQuery(decision="deny", before=PLACE),
        AuditQuery(after=PLACE, oldest_first=True),
    ],
    ids=["before", "after"],
)
async def test_postgres_goes_on_from_a_place_by_the_index(
    postgres_url: str, query: AuditQuery
) -> None:
    db = PostgresDb(postgres_url)
    found = audit_reads.records_found(query).compile(compile_kwargs={"literal_binds": True})

    def plan(connection: Connection) -> str:
        # What it would do with many rows; an empty table is read as it stands.
        for way in ("seqscan", "bitmapscan"):
            connection.exec_driver_sql(f"SET enable_{way} = off")
        return "\n".join(row[0] for row in rows_of(connection, f"EXPLAIN {found}"))

    text = await db.read(plan)
    await db.close()
    assert "using licet_audit_time" in text, text
    assert "Index Cond: (ROW(time_us, writer_id, seq)" in text, text
    assert "Sort" not in text, text


async def test_a_batch_is_three_statements_however_many_records_it_has() -> None:
    rows = SqliteBackend(Path("x.db")).json_rows(RECORD_TYPES)
    one, many = (
        audit_writes.append(batch(of), of, rows=rows) for of in (records(1, 1), records(1, 2000))
    )
    assert [s.sql for s in one.statements] == [s.sql for s in many.statements]
    assert [len(s.parameters) for s in many.statements] == [7, 2, 1]


async def test_rows_of_json_keep_their_order_their_types_and_what_is_none(url: str) -> None:
    db = db_of(url)
    rows = db._backend.json_rows({"number": "BIGINT", "text": "TEXT"})
    text = '[[9007199254740993, "1"], [null, "\\u00e9\\"\\\\"], [-1, null], [2, ""]]'
    statement = Statement(f"SELECT number, text FROM {rows} AS given", (text,))  # noqa: S608 - ours
    answer = await db.write(Write(("", ""), (statement,), lambda answers: answers[0]))
    assert list(map(tuple, answer.rows)) == [
        (9007199254740993, "1"),
        (None, 'é"\\'),
        (-1, None),
        (2, ""),
    ]
    await db.close()


def test_audit_is_locked_after_sessions_and_before_trust() -> None:
    for write in (
        audit_writes.register_writer(writer()),
        audit_writes.append(batch(records(1, 1)), records(1, 1), rows=""),
    ):
        assert write.key > SessionKey("main|somebody", "s")
        assert write.key < (write.key[0], TRUST_TOPIC)


async def test_a_batch_whose_records_were_removed_is_not_mended_unseen(url: str) -> None:
    db = db_of(url)
    given, of = await append(db, records(1, 3))
    removing = Statement("DELETE FROM licet_audit WHERE seq = ?", (2,))
    await db.write(Write(("", ""), (removing,), lambda _: None))
    with pytest.raises(ConflictError):
        await db.audit().append(given, of)
    assert [r.seq for r in await all_records(db)] == [1, 3]
    await db.close()


async def test_values_that_somebody_changed_are_read_as_they_are(tmp_path: Path) -> None:
    db = SqliteDb(tmp_path / "licet.db")
    await append(db, records(1, 2))
    changing = Statement("UPDATE licet_audit SET reason = ?, status = ? WHERE seq = 2", (7, "x"))
    await db.write(Write(("", ""), (changing,), lambda _: None))
    _, changed = await all_records(db)
    values: tuple[Any, ...] = (changed.reason, changed.status)
    assert values == ("7", "x")
    await db.close()


async def test_who_appends_a_batch_that_another_process_is_writing_waits_for_it(
    postgres_url: str, postgres_server: EmbeddedPostgres
) -> None:
    db = PostgresDb(postgres_url)
    await db.open()
    of = records(1, 3)
    given = batch(of)
    backend = PostgresBackend(parse_postgres_url(postgres_url))
    other = backend.connect()
    other.execute(audit_writes.append(given, of, rows=backend.json_rows(RECORD_TYPES)).statements)
    appending = asyncio.create_task(db.audit().append(given, of))
    await until_somebody_waits_for_a_lock(postgres_server)
    assert not appending.done()
    other.commit()
    other.close()
    await appending
    assert await all_records(db) == of
    assert await all_batches(db) == [given]
    await db.close()


async def test_what_was_appended_is_not_lost_by_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "licet.db"
    with subprocess.Popen(
        [sys.executable, "-c", APPENDS_FOR_EVER, str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(20)]
        process.kill()
        lines += process.stdout.readlines()
    told = int([line for line in lines if line.endswith("\n")][-1])
    db = SqliteDb(path)
    found, batches = await all_records(db), await all_batches(db)
    await db.close()
    assert told >= 20
    # Wholly or not at all: what was under way when it died is there with all of its records.
    assert told <= len(batches) <= told + 1
    assert [r.seq for r in found] == list(range(1, batches[-1].last_seq + 1))
