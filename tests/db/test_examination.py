"""What is seen of a database without opening it, on real ones, which stay as they were."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy.engine import Connection

from licet.db.examination import DatabaseState, ServerState, distance
from licet.db.migrating import knows
from licet.db.migrations import HEAD
from licet.db.postgres import PostgresDb
from licet.db.sqlite import SqliteDb
from licet.db.trust_records import TRUST_TOPIC
from licet.errors import StorageError
from tests.contract.trust_rows import revocation
from tests.db.conftest import db_of, wait_until
from tests.support.logins import Login, ask, do, new_login, new_role, superuser
from tests.support.postgres import reachable_folder

__all__ = ["new_login", "new_role", "superuser"]

HOUR_SECONDS = 3600
LOCKED = "LOCK TABLE licet_sessions IN ACCESS SHARE MODE"


async def opened(url: str) -> None:
    db = db_of(url)
    await db.open()
    await db.close()


async def state(url: str, **given: Any) -> DatabaseState:
    """What is seen of a database that is there."""
    found = await PostgresDb(url, **given).examine()
    assert found is not None
    return found


async def server(url: str, **given: Any) -> ServerState:
    """What its server says."""
    found = (await state(url, **given)).server
    assert found is not None
    return found


def grant_schemas(login: Login, superuser: psycopg.Connection[tuple[Any, ...]]) -> None:
    superuser.execute(f"GRANT CREATE ON DATABASE tests TO {login.name}".encode())


@pytest.mark.parametrize(
    ("value", "expected"), [(0.0, 1.0), (1.0, 0.0), (1.5, 0.0), (2.0, 0.0), (4.0, 2.0)]
)
def test_a_distance_is_to_the_nearer_end(value: float, expected: float) -> None:
    assert distance(value, 1.0, 2.0) == expected


def test_revisions_of_this_version_are_known() -> None:
    assert [knows(revision) for revision in (HEAD, "0001", "9999")] == [True, True, False]


async def test_an_empty_server_is_seen_and_stays_empty(postgres_url: str) -> None:
    seen = await state(postgres_url)
    assert seen.revision is None
    assert seen.server is not None
    assert seen.server.missing_rights == ()
    assert ask(postgres_url, "SELECT to_regclass('licet_revision')") == [(None,)]


async def test_tables_are_seen_with_their_revision(postgres_url: str) -> None:
    await opened(postgres_url)
    seen = await state(postgres_url)
    assert seen.revision == HEAD
    assert seen.server is not None
    assert seen.server.login == "tests"
    assert not seen.server.is_superuser
    assert seen.server.missing_rights == ()
    assert seen.server.row_security_refusal is None
    assert seen.server.skew_seconds == 0.0


@pytest.mark.parametrize("ahead_seconds", [HOUR_SECONDS, -HOUR_SECONDS])
async def test_the_clocks_are_compared(postgres_url: str, ahead_seconds: float) -> None:
    seen = await PostgresDb(postgres_url).examine(now=lambda: time.time() + ahead_seconds)
    assert seen is not None
    assert seen.server is not None
    assert seen.server.skew_seconds == pytest.approx(HOUR_SECONDS, abs=5)


async def test_the_least_limit_of_connections_counts(
    new_login: Callable[[str], Login], postgres_url: str
) -> None:
    ((most,),) = ask(
        postgres_url,
        "SELECT current_setting('max_connections')::int"
        " - current_setting('superuser_reserved_connections')::int",
    )
    assert (await server(postgres_url)).max_connections == most
    assert (await server(new_login("CONNECTION LIMIT 5").url)).max_connections == 5


async def test_a_process_has_as_many_connections_as_it_says(
    new_login: Callable[[str], Login], superuser: psycopg.Connection[tuple[Any, ...]]
) -> None:
    login = new_login("")

    def connections() -> int:
        mine = "SELECT count(*) FROM pg_stat_activity WHERE usename = %s"
        row = superuser.execute(mine, (login.name,)).fetchone()
        assert row is not None
        return int(row[0])

    db = PostgresDb(login.url)
    await db.trust().add_revocations([revocation()])
    asked = [ask_in(0.05) for _ in range(8)]
    await asyncio.gather(*map(db.read, asked), *map(db.follow, asked), *map(db.look_up, asked))
    await db.watch(TRUST_TOPIC, after=0, timeout_seconds=0)
    wait_until(
        lambda: connections() == PostgresDb.connections(durable_runs=False), what="all connect"
    )
    steps = await db.steps_database()
    with ExitStack() as stack:
        for _ in range(10):
            stack.enter_context(steps.engine.connect())
        assert connections() == PostgresDb.connections(durable_runs=True)
    steps.engine.dispose()
    await db.close()


def ask_in(seconds: float) -> Callable[[Connection], Any]:
    return lambda connection: connection.exec_driver_sql(f"SELECT pg_sleep({seconds})").scalar()


async def test_who_cannot_be_reached_is_an_error_without_the_password() -> None:
    with pytest.raises(StorageError, match="cannot be reached") as caught:
        await PostgresDb("postgresql://shop:hunter2@127.0.0.1:9/shop").examine()
    assert "hunter2" not in str(caught.value)


async def test_who_finds_no_schema_is_told_so(new_login: Callable[[str], Login]) -> None:
    login = new_login("")
    missing = (await server(login.finding("nowhere"))).missing_rights
    assert missing == (
        "to use a schema of its search_path: none of them exists, or it may use none",
    )


@pytest.mark.parametrize("guarded", [False, True])
async def test_a_server_that_takes_no_changes_is_told(postgres_url: str, *, guarded: bool) -> None:
    read_only = f"{postgres_url}%20-cdefault_transaction_read_only=on"
    seen = await server(read_only, row_level_security=guarded)
    (missing,) = seen.missing_rights
    assert missing.startswith("to write at all: the server is a standby")
    assert seen.row_security_refusal is None


async def test_who_may_make_no_tables_or_schemas_is_told_so(
    new_login: Callable[[str], Login], superuser: psycopg.Connection[tuple[Any, ...]]
) -> None:
    login = new_login("")
    superuser.execute(f"ALTER SCHEMA {login.schema} OWNER TO postgres".encode())
    superuser.execute(f"GRANT USAGE ON SCHEMA {login.schema} TO {login.name}".encode())
    assert (await server(login.url)).missing_rights == (
        f"to create tables in the schema {login.schema!r}",
        f"to create the schema {f'licet_steps_{login.schema}'!r}, which durable runs need",
    )


async def test_who_may_not_work_with_the_tables_is_told_which(
    new_login: Callable[[str], Login], superuser: psycopg.Connection[tuple[Any, ...]]
) -> None:
    owner, login = new_login(""), new_login("")
    for somebody in (owner, login):
        grant_schemas(somebody, superuser)
    await opened(owner.url)
    do(
        owner.url,
        f"GRANT USAGE ON SCHEMA {owner.schema} TO {login.name}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {owner.schema} "
        f"TO {login.name}",
        f"REVOKE INSERT, DELETE ON licet_runs FROM {login.name}",
    )
    there = login.finding(owner.schema)
    assert (await server(there)).missing_rights == ("INSERT, DELETE on licet_runs",)
    do(owner.url, "UPDATE licet_revision SET version_num = '0004'")
    missing = (await server(there)).missing_rights
    assert missing[0] == f"to create tables in the schema {owner.schema!r}"
    assert "to change the table licet_runs, whose owner it is not" in missing


async def test_row_level_security_is_tried_and_taken_back(
    new_login: Callable[[str], Login],
    new_role: Callable[[str], str],
    superuser: psycopg.Connection[tuple[Any, ...]],
) -> None:
    login, role = new_login("CREATEROLE"), new_role("")
    grant_schemas(login, superuser)
    guarded = {"row_level_security": True, "row_role": role}
    assert (await server(login.url, **guarded)).row_security_refusal is None
    await opened(login.url)
    seen = await server(login.url, **guarded)
    assert (seen.row_security_refusal, seen.missing_rights) == (None, ())
    assert ask(login.url, f"SELECT to_regrole('{role}')") == [(None,)]
    enabled = "SELECT bool_or(relrowsecurity) FROM pg_class WHERE relname ~ '^licet_'"
    assert ask(login.url, enabled) == [(False,)]


async def test_row_level_security_that_would_not_hold_is_told_with_the_reason(
    new_login: Callable[[str], Login], new_role: Callable[[str], str]
) -> None:
    mighty = new_login("SUPERUSER")
    seen = await server(mighty.url, row_level_security=True)
    assert seen.is_superuser
    assert seen.row_security_refusal is not None
    assert "a superuser, whom nothing in a database binds" in seen.row_security_refusal
    refusal = (
        await server(new_login("").url, row_level_security=True, row_role=new_role(""))
    ).row_security_refusal
    assert refusal is not None
    assert "CREATE ROLE" in refusal


async def test_locks_that_others_hold_are_not_waited_for_long(
    new_login: Callable[[str], Login], new_role: Callable[[str], str]
) -> None:
    login = new_login("CREATEROLE")
    await opened(login.url)
    guarded = PostgresDb(login.url, row_level_security=True, row_role=new_role(""))
    with psycopg.connect(login.url.replace("+psycopg", "")) as other:
        other.execute(LOCKED)
        with pytest.raises(StorageError, match="lock timeout"):
            await guarded.examine()
    assert await guarded.examine() is not None


async def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    assert await SqliteDb(tmp_path / "new" / "small.db").examine() is None
    assert list(tmp_path.iterdir()) == []


async def test_a_file_is_seen_with_its_revision(tmp_path: Path) -> None:
    file = tmp_path / "small.db"
    file.touch()
    assert await SqliteDb(file).examine() == DatabaseState(revision=None)
    await opened(f"sqlite:///{file}")
    assert await SqliteDb(file).examine() == DatabaseState(revision=HEAD)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda file: file.parent.write_text(""), "is no folder"),
        (lambda file: file.mkdir(parents=True), "unable to open"),
        (lambda file: (file.parent.mkdir(), file.write_text("no database at all" * 99)), "not a"),
    ],
    ids=["a file in the way", "a folder", "no database"],
)
async def test_a_file_that_cannot_be_used_is_told(
    tmp_path: Path, make: Callable[[Path], object], said: str
) -> None:
    file = tmp_path / "between" / "small.db"
    make(file)
    with pytest.raises(StorageError, match=said):
        await SqliteDb(file).examine()


async def test_a_file_that_may_not_be_written_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sqlite3.connect(tmp_path / "small.db").close()
    # Root may everything, and tests are run as root, too.
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(StorageError, match="cannot be written"):
        await SqliteDb(tmp_path / "small.db").examine()


async def test_an_embedded_server_is_asked_only_if_it_was_made_before() -> None:
    with reachable_folder() as folder:
        db = PostgresDb(data_folder=folder / "postgres")
        assert await db.examine() is None
        assert list(folder.iterdir()) == []
        await db.open()
        await db.close()
        seen = await db.examine()
        assert seen is not None
        assert seen.revision == HEAD
        assert seen.server is not None
        assert (seen.server.login, seen.server.missing_rights) == ("licet", ())
