from __future__ import annotations

import asyncio
import gc
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import pytest
from sqlalchemy.engine import Connection

from licet.db import reads, run_writes, writes
from licet.db import sqlite as module
from licet.db.records import RecentRuns, RunQuery, SessionKey
from licet.db.sqlite import SqliteBackend, SqliteDb
from licet.db.writer import UnavailableError
from licet.db.writes import Statement
from licet.errors import ConfigurationError, StorageError
from tests.contract.rows import ADMIN, ALICE, run, session, stored
from tests.db.conftest import wait_until

WRITES_FOR_EVER = """
import asyncio, sys
from dataclasses import replace
from licet.db.records import RunStatus
from licet.db.sqlite import SqliteDb
from tests.contract.rows import ALICE, run, stored

async def work(store):
    while True:
        record = await stored(store, run(body=b'"asked"'))
        print("begun", record.run_id, flush=True)
        done = replace(record, status=RunStatus.COMPLETED, body=b'"answered"')
        await store.save_run(done, session_state={"last": record.run_id})
        print("saved", record.run_id, flush=True)

async def main():
    store = SqliteDb(sys.argv[1]).store(ALICE)
    await asyncio.gather(*(work(store) for _ in range(8)))

asyncio.run(main())
"""


def kill_a_writer_at_work(path: Path) -> list[list[str]]:
    """Kill a process while it writes; answer what it had told of every write."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITES_FOR_EVER, str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(400)]
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.readlines()
    return [line.split() for line in lines if line.endswith("\n")]


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def test_nothing_that_was_answered_is_lost_by_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "licet.db"
    told = kill_a_writer_at_work(path)
    db = SqliteDb(path)
    listed = await db.store(ALICE).list_runs(SessionKey("alice", "s"), RunQuery())
    bodies = {record.run_id: record.body for record in listed}
    assert len(told) >= 400
    for what, run_id in told:
        assert run_id in bodies
        if what == "saved":
            assert bodies[run_id] == b'"answered"'
    await db.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
async def test_the_file_and_its_new_folders_are_their_owners_alone(tmp_path: Path) -> None:
    db = SqliteDb(tmp_path / "new" / "deep" / "licet.db")
    await stored(db.store(ALICE), run())
    for path, mode in (
        ("new", 0o700),
        ("new/deep", 0o700),
        ("new/deep/licet.db", 0o600),
        ("new/deep/licet.db-wal", 0o600),
    ):
        assert mode_of(tmp_path / path) == mode, path
    await db.close()


async def test_folders_that_exist_keep_their_modes(tmp_path: Path) -> None:
    before = mode_of(tmp_path)
    db = SqliteDb(tmp_path / "licet.db")
    await db.open()
    await db.close()
    assert mode_of(tmp_path) == before


def test_constructing_touches_nothing(tmp_path: Path) -> None:
    SqliteDb(tmp_path / "new" / "licet.db")
    assert names_in(tmp_path) == []


def test_a_relative_file_is_that_of_the_folder_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    relative, default = SqliteDb("x/y.db"), SqliteDb()
    monkeypatch.chdir("/")
    assert relative.db_file == tmp_path / "x/y.db"
    assert default.db_file == tmp_path / ".licet/licet.db"
    assert relative.id == SqliteDb(tmp_path / "x/../x/y.db").id


def test_ids_are_of_the_file_and_can_be_given(tmp_path: Path) -> None:
    one, other = SqliteDb(tmp_path / "a.db"), SqliteDb(tmp_path / "b.db")
    assert one.id == SqliteDb(tmp_path / "a.db").id
    assert one.id != other.id
    assert str(tmp_path) not in one.id
    assert SqliteDb(tmp_path / "a.db", id="mine").id == "mine"


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("sqlite:///x.db", "x.db"),
        ("sqlite:////abs/x.db", "/abs/x.db"),
        ("sqlite:///my%20file.db", "my file.db"),
    ],
)
def test_a_url_names_the_file(url: str, file: str) -> None:
    assert SqliteDb(db_url=url).db_file == Path(file).resolve()


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite+aiosqlite:///x",
        "postgresql://h/d",
        "",
    ],
)
def test_another_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="sqlite:///file"):
        SqliteDb(db_url=url)


def test_a_file_and_a_url_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="not both"):
        SqliteDb("x.db", db_url="sqlite:///x.db")


async def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to be looked at" * 50)
    before = path.read_bytes()
    with pytest.raises(StorageError, match=r"notes\.txt"):
        await SqliteDb(path).open()
    assert path.read_bytes() == before


async def test_a_place_that_cannot_be_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be used"):
        await SqliteDb(tmp_path / "file" / "licet.db").open()


async def test_a_commit_is_synced_to_the_disk(tmp_path: Path) -> None:
    backend = SqliteBackend(tmp_path / "licet.db")
    backend.prepare()
    connection = backend._connection()
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA foreign_keys").fetchone() == (1,)
    connection.close()


async def test_a_commit_that_fails_is_told_and_stores_nothing(tmp_path: Path) -> None:
    db = SqliteDb(tmp_path / "licet.db")
    await db.open()
    connection = SqliteBackend(db.db_file).connect()
    orphan = run_writes.begin_run(session(), run(), history_runs=0).statements[2]
    connection.execute([Statement("PRAGMA defer_foreign_keys = ON", ()), orphan])
    with pytest.raises(UnavailableError, match="FOREIGN KEY") as caught:
        connection.commit()
    assert caught.value.may_be_stored
    connection.rollback()
    connection.close()
    assert await db.store(ALICE).list_runs(SessionKey("alice", "s"), RunQuery()) == []
    await db.close()


async def test_a_db_that_closes_meanwhile_refuses(tmp_path: Path) -> None:
    db = SqliteDb(tmp_path / "licet.db")
    parts = await db._opened()
    await db.close()
    with pytest.raises(StorageError, match="closed"):
        await parts.read(lambda connection: connection)
    with pytest.raises(StorageError, match="closed"):
        await parts.writer.write(writes.create_session(session()))


async def test_rows_are_found_by_their_keys(tmp_path: Path) -> None:
    backend = SqliteBackend(tmp_path / "licet.db")
    db = SqliteDb(tmp_path / "licet.db")
    await db.open()
    connection = backend._connection()
    record = run()
    every = (
        *run_writes.begin_run(session(), record, history_runs=3).statements,
        *run_writes.save_run(record, session_state=None).statements,
        *writes.delete_sessions([record.session_key], session_type=None).statements,
    )
    for sql, parameters in every:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {sql}", parameters).fetchall()
        searches = [step[3] for step in plan if "licet_" in step[3]]
        assert not [step for step in searches if step.startswith("SCAN")], searches
        if searches and "ORDER BY" not in sql:
            assert "autoindex" in searches[0], searches
    connection.close()
    await db.close()


async def test_the_newest_runs_are_found_without_sorting_all(tmp_path: Path) -> None:
    db = SqliteDb(tmp_path / "licet.db")

    def plan(connection: Connection) -> list[str]:
        query = reads.recent_runs(RecentRuns(user_id="u"), ADMIN)
        compiled = query.compile(connection, compile_kwargs={"literal_binds": True})
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}").all()
        return [row[3] for row in rows]

    assert await db.read(plan) == [
        "SEARCH licet_runs USING INDEX licet_runs_created (created_at_us>?)"
    ]
    await db.close()


async def test_reading_connections_cannot_write(tmp_path: Path) -> None:
    db = SqliteDb(tmp_path / "licet.db")
    with pytest.raises(StorageError, match="readonly"):
        await db.read(lambda connection: connection.exec_driver_sql("DELETE FROM licet_runs"))
    await db.close()


async def test_readers_do_not_wait_for_a_writer_of_another_process(tmp_path: Path) -> None:
    db = SqliteDb(tmp_path / "licet.db")
    record = await stored(db.store(ALICE), run())
    other = sqlite3.connect(db.db_file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    other.execute("DELETE FROM licet_runs")
    assert await db.store(ALICE).get_run(record.session_key, record.run_id) == record
    other.execute("ROLLBACK")
    other.close()
    await db.close()


async def test_a_lock_that_is_never_given_back_fails_writes_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BUSY_TIMEOUT_SECONDS", 0.05)
    db = SqliteDb(tmp_path / "licet.db")
    await db.open()
    other = sqlite3.connect(db.db_file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    creating = (db.store(ALICE).create_session(session(f"s{n}")) for n in range(20))
    outcomes = await asyncio.gather(*creating, return_exceptions=True)
    assert all(isinstance(outcome, StorageError) for outcome in outcomes)
    assert "locked" in str(outcomes[0])
    other.execute("ROLLBACK")
    other.close()
    assert await db.store(ALICE).create_session(session()) is True
    await db.close()


def test_a_program_that_never_closes_ends_by_itself_with_everything_stored(tmp_path: Path) -> None:
    script = (
        "import asyncio, sys\n"
        "from licet.db.sqlite import SqliteDb\n"
        "from tests.contract.rows import ALICE, run, stored\n"
        "db = SqliteDb(sys.argv[1])\n"
        "for _ in range(3):\n"
        "    asyncio.run(stored(db.store(ALICE), run()))\n"
    )
    path = tmp_path / "licet.db"
    command = [sys.executable, "-W", "error", "-c", script, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    # The last connection that closes takes the log away: everything was given back.
    assert names_in(tmp_path) == ["licet.db"]
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT count(*) FROM licet_runs").fetchone() == (3,)
    connection.close()


async def test_a_db_that_is_forgotten_gives_everything_back(tmp_path: Path) -> None:
    db = SqliteDb(tmp_path / "licet.db")
    await stored(db.store(ALICE), run())
    del db
    assert names_in(tmp_path) == ["licet.db"]


async def test_a_db_that_only_a_reading_thread_still_knows_gives_everything_back(
    tmp_path: Path,
) -> None:
    db = SqliteDb(tmp_path / "licet.db")
    await db.open()
    reading, go_on, closed = threading.Event(), threading.Event(), threading.Event()

    def look(connection: Connection, known: SqliteDb = db) -> None:
        weakref.finalize(known, closed.set)
        reading.set()
        assert go_on.wait(30)

    asking = asyncio.create_task(db.read(look))
    await asyncio.to_thread(reading.wait, 30)
    asking.cancel()
    await asyncio.wait({asking})
    del db, look, asking
    gc.collect()
    go_on.set()
    assert await asyncio.to_thread(closed.wait, 30)
    await asyncio.to_thread(
        wait_until, lambda: names_in(tmp_path) == ["licet.db"], what="everything is given back"
    )
