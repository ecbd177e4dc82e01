from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from licet.db.in_memory import InMemoryDb
from licet.db.migrations import HEAD
from licet.db.postgres import PostgresDb
from licet.db.sqlite import SqliteDb
from licet.doctor.databases import DatabasesCheck
from tests.doctor.deployments import FACTORY, codes, deployed, found, helper
from tests.support.logins import Login, do, new_login, new_role, superuser
from tests.support.postgres import postgres_server, postgres_url

__all__ = ["new_login", "new_role", "postgres_server", "postgres_url", "superuser"]


async def opened(url: str) -> PostgresDb:
    """A database with tables."""
    db = PostgresDb(url)
    await db.open()
    await db.close()
    return db


async def set_revision(url: str, revision: str) -> PostgresDb:
    """A database whose tables say that they are of this revision."""
    db = await opened(url)
    do(url, f"UPDATE licet_revision SET version_num = '{revision}'")  # noqa: S608 - a test's own
    return db


async def test_a_server_with_all_that_is_needed_is_right(postgres_url: str) -> None:
    assert await codes(DatabasesCheck(), deployed(db=PostgresDb(postgres_url), workers=4)) == []
    assert await codes(DatabasesCheck(), deployed(db=await opened(postgres_url), workers=4)) == []


async def test_what_keeps_nothing_or_is_not_made_yet_has_nothing_to_look_at(
    tmp_path: Path,
) -> None:
    for db in (InMemoryDb(), SqliteDb(tmp_path / "new.db")):
        assert await codes(DatabasesCheck(), deployed(db=db)) == []


async def test_a_file_is_looked_at_where_there_is_one(tmp_path: Path) -> None:
    db = SqliteDb(tmp_path / "small.db")
    await db.open()
    await db.close()
    assert await codes(DatabasesCheck(), deployed(db=db)) == []
    db.db_file.write_text("no database at all" * 99)
    assert await codes(DatabasesCheck(), deployed(db=db)) == ["database_unreachable"]


async def test_every_database_is_connected_to() -> None:
    dbs = [PostgresDb(f"postgresql://shop:hunter2@127.0.0.1:9/{name}", id=name) for name in "ab"]
    findings = await found(DatabasesCheck(), deployed(db=dbs[0], agents=[helper(db=dbs[1])]))
    assert [(f.kind.code, f.where) for f in findings] == [
        ("database_unreachable", "database 'a'"),
        ("database_unreachable", "database 'b'"),
    ]
    assert all("hunter2" not in f"{finding}" for finding in findings)


@pytest.mark.parametrize(
    ("revision", "expected"),
    [(HEAD, []), ("0004", ["tables_older"]), ("9999", ["tables_newer"])],
)
async def test_tables_are_of_this_version(
    postgres_url: str, revision: str, expected: list[str]
) -> None:
    db = await set_revision(postgres_url, revision)
    assert await codes(DatabasesCheck(), deployed(db=db)) == expected


async def test_a_role_without_the_rights_it_needs_is_told_which(
    new_login: Callable[[str], Login],
) -> None:
    login = new_login("")
    (finding,) = await found(DatabasesCheck(), deployed(db=PostgresDb(login.url)))
    assert finding.kind.code == "rights_missing"
    assert login.name in finding.what
    assert "to create the schema" in finding.what


@pytest.mark.parametrize(
    ("guarded", "expected"),
    [
        ({}, "database_superuser"),
        ({"row_level_security": True}, "row_security_void"),
    ],
)
async def test_nothing_binds_a_superuser(
    new_login: Callable[[str], Login], guarded: dict[str, Any], expected: str
) -> None:
    db = PostgresDb(new_login("SUPERUSER").url, **guarded)
    assert await codes(DatabasesCheck(), deployed(db=db)) == [expected]


@pytest.mark.parametrize(
    ("leeway_seconds", "expected"),
    [(10, ["database_clock"]), (120, []), (None, ["database_clock"])],
)
async def test_clocks_may_differ_by_the_leeway(
    postgres_url: str, leeway_seconds: float | None, expected: list[str]
) -> None:
    ways: dict[str, Any] = {"authorization": False}
    if leeway_seconds is not None:
        keys = {"verification_keys": [FACTORY.public_key]}
        ways = {"config": {**keys, "leeway_seconds": leeway_seconds}}
    deployment = deployed(db=PostgresDb(postgres_url), now=lambda: time.time() + 60, **ways)
    assert await codes(DatabasesCheck(), deployment) == expected


async def test_all_processes_together_need_connections(postgres_url: str) -> None:
    db = PostgresDb(postgres_url)
    assert await codes(DatabasesCheck(), deployed(db=db, workers=5)) == []
    deployment = deployed(db=db, workers=3, replicas=2)
    (finding,) = await found(DatabasesCheck(), deployment)
    assert finding.kind.code == "connections_too_few"
    assert "6 processes have up to 18 connections each, 108 together" in finding.what


async def test_steps_of_durable_runs_need_connections_in_one_database_only(
    postgres_url: str, tmp_path: Path
) -> None:
    deployment = deployed(
        db=SqliteDb(tmp_path / "small.db"), agents=[helper(db=PostgresDb(postgres_url))], workers=12
    )
    assert await codes(DatabasesCheck(), deployment) == []
