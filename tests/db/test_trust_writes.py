from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import Connection

from licet.db import trust_writes
from licet.db.postgres import PostgresDb
from licet.db.postgres_backend import PostgresBackend
from licet.db.postgres_url import parse_postgres_url
from licet.db.records import SessionKey
from licet.db.sqlite import SqliteBackend, SqliteDb
from licet.db.trust_reads import account_of_id, accounts_of_digest
from licet.db.writes import ContentionError, Write
from tests.contract.trust_rows import account, revocation, rotation
from tests.db.conftest import until_somebody_waits_for_a_lock
from tests.support.postgres import EmbeddedPostgres


async def test_rows_are_found_by_their_keys(tmp_path: Path) -> None:
    db = SqliteDb(tmp_path / "licet.db")
    await db.open()
    every = [
        statement
        for write in (
            trust_writes.add_revocations([revocation()]),
            trust_writes.use_once(revocation(), [revocation("a")]),
            trust_writes.delete_revocation("a", deleted_at_us=1),
            trust_writes.revoke_service_account("a", revoked_at_us=1),
            trust_writes.touch_service_account("a", last_used_at_us=1),
        )
        for statement in write.statements
    ]
    connection = SqliteBackend(db.db_file)._connection()
    for sql, parameters in every:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {sql}", parameters).fetchall()
        assert not [step[3] for step in plan if step[3].startswith("SCAN licet")], sql
    connection.close()
    await db.close()


def explain(sql: str) -> Callable[[Connection], Sequence[Any]]:
    return lambda connection: connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}").all()


async def test_accounts_are_found_by_their_keys(tmp_path: Path) -> None:
    db = SqliteDb(tmp_path / "licet.db")
    for statement in (account_of_id("a"), accounts_of_digest("d")):
        text = str(statement.compile(compile_kwargs={"literal_binds": True}))
        plan = await db.read(explain(text))
        assert not [step[3] for step in plan if step[3].startswith("SCAN")], text
    await db.close()


def test_every_write_takes_the_row_of_the_topic_first() -> None:
    for write in (
        trust_writes.add_revocations([revocation()]),
        trust_writes.use_once(revocation(), []),
        trust_writes.delete_revocation("a", deleted_at_us=1),
        trust_writes.forget_expired(now_us=1),
        trust_writes.create_service_account(account()),
        trust_writes.rotate_service_account("a", **rotation()),
        trust_writes.end_service_token("a", token_digest="d"),
        trust_writes.revoke_service_account("a", revoked_at_us=1),
        trust_writes.touch_service_account("a", last_used_at_us=1),
    ):
        assert write.statements[0].sql.startswith("UPDATE licet_changes SET number = number")
        assert write.key > SessionKey("main|somebody", "s")


TOUCHES = [trust_writes.touch_service_account(name, last_used_at_us=1) for name in "ab"]
RENEWALS = [trust_writes.add_revocations([revocation(name)]) for name in "ab"]


@pytest.mark.parametrize(
    ("group", "theirs"),
    [
        (TOUCHES, [trust_writes.rotate_service_account("b", **rotation()), TOUCHES[0]]),
        ([trust_writes.forget_expired(now_us=99)], RENEWALS[::-1]),
    ],
    ids=["touch", "forget"],
)
async def test_writes_of_two_processes_in_opposite_orders_do_not_wait_in_a_circle(
    postgres_url: str,
    postgres_server: EmbeddedPostgres,
    monkeypatch: pytest.MonkeyPatch,
    group: list[Write[Any]],
    theirs: list[Write[Any]],
) -> None:
    in_the_way: list[str] = []

    def note(_: ContentionError, text: str) -> None:
        in_the_way.append(text)

    # It would be tried again, and nobody would see it.
    monkeypatch.setattr(ContentionError, "__init__", note)
    db = PostgresDb(postgres_url)
    for name in "ab":
        await db.trust().create_service_account(account(name, id=name))
        await db.trust().add_revocations([revocation(name, expires_at_us=50)])
    other = PostgresBackend(parse_postgres_url(postgres_url)).connect()
    other.execute(theirs[0].statements)
    writing = [asyncio.create_task(db.write(write)) for write in group]
    await until_somebody_waits_for_a_lock(postgres_server)
    await asyncio.to_thread(other.execute, theirs[1].statements)
    other.commit()
    other.close()
    await asyncio.gather(*writing)
    assert in_the_way == []
    await db.close()
