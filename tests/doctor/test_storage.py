from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from licet.db.base import Db
from licet.db.in_memory import InMemoryDb
from licet.db.postgres import PostgresDb
from licet.db.sqlite import SqliteDb
from licet.doctor.storage import StorageCheck
from tests.doctor.deployments import codes, deployed, found, helper

ONE_MACHINE = {"workers": 4}
THREE_MACHINES = {"replicas": 3}


@pytest.fixture(params=["in memory", "file", "embedded", "server"])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Db:
    made: dict[str, Db] = {
        "in memory": InMemoryDb(),
        "file": SqliteDb(tmp_path / "small.db"),
        "embedded": PostgresDb(data_folder=tmp_path / "postgres"),
        "server": PostgresDb("postgresql://shop@db.test/shop"),
    }
    return made[request.param]


@pytest.mark.parametrize(
    ("ways", "wrong"),
    [
        ({"host": "127.0.0.1"}, {}),
        ({}, {InMemoryDb: "storage_forgets"}),
        (ONE_MACHINE, {InMemoryDb: "storage_split"}),
        (
            THREE_MACHINES,
            {
                InMemoryDb: "storage_split",
                SqliteDb: "storage_of_one_machine",
                PostgresDb: "storage_of_one_machine",
            },
        ),
    ],
    ids=["one process", "for others", "one machine", "three machines"],
)
async def test_a_database_reaches_as_far_as_the_processes(
    db: Db, ways: dict[str, Any], wrong: dict[type[Db], str]
) -> None:
    expected = [code for kind, code in wrong.items() if isinstance(db, kind)]
    if isinstance(db, PostgresDb) and not db.is_embedded:
        expected = []
    assert await codes(StorageCheck(), deployed(db=db, **ways)) == expected


async def test_each_database_of_the_program_is_looked_at(tmp_path: Path) -> None:
    own = helper(db=InMemoryDb("own"))
    deployment = deployed(db=SqliteDb(tmp_path / "small.db", id="main"), agents=[own], replicas=2)
    findings = await found(StorageCheck(), deployment)
    assert [(f.kind.code, f.where) for f in findings] == [
        ("storage_of_one_machine", "database 'main'"),
        ("storage_split", "database 'own'"),
    ]


@pytest.mark.parametrize("is_own", [True, False])
async def test_runs_that_are_to_last_need_a_database_that_does(
    tmp_path: Path, *, is_own: bool
) -> None:
    forgets, lasts = InMemoryDb(), SqliteDb(tmp_path / "small.db")
    agent = helper(db=forgets if is_own else None, durable=True)
    default: Db = lasts if is_own else forgets
    (finding,) = await found(StorageCheck(), deployed(db=default, agents=[agent], host="::1"))
    assert (finding.kind.code, finding.where) == ("durable_forgets", "agent 'helper'")
    right = helper(db=lasts, durable=True)
    assert await codes(StorageCheck(), deployed(db=forgets, agents=[right], host="::1")) == []
