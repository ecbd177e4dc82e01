"""A served house of sessions, once on each kind of database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from licet.db.base import Db
from licet.db.in_memory import InMemoryDb
from licet.db.sqlite import SqliteDb
from tests.support.house import House
from tests.support.sqlite import migrated


@pytest.fixture(scope="module", params=["in_memory", "sqlite"])
def dbs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Db, Db]:
    """The main database, and a second one."""
    if request.param == "in_memory":
        return InMemoryDb("main"), InMemoryDb("second")
    folder = tmp_path_factory.mktemp("house")
    return SqliteDb(migrated(folder / "main.db"), id="main"), SqliteDb(
        migrated(folder / "second.db"), id="second"
    )


@pytest.fixture(scope="module")
def open_house(dbs: tuple[Db, Db]) -> Iterator[House]:
    """A house that is served for all tests of a module."""
    with House(*dbs).open() as house:
        yield house


@pytest.fixture
def house(open_house: House) -> House:
    """The house, empty."""
    open_house.clear()
    return open_house
