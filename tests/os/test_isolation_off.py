"""A server without isolation: whoever holds a scope reaches everybody's sessions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from licet.db.in_memory import InMemoryDb
from tests.support.house import House
from tests.support.world import OWNER, STRANGER


@pytest.fixture
def house() -> Iterator[House]:
    """Both Olga and Sten have a session of one id, and nothing separates them."""
    house = House(InMemoryDb("main"), InMemoryDb("second"))
    house.add_run(OWNER, "s", "r", asked="Olga's question")
    house.add_session(STRANGER, "s", first_input="Sten's question")
    with house.open(user_isolation=False):
        yield house


def test_everybodys_sessions_are_listed_and_read(house: House) -> None:
    sten = house.somebody(STRANGER, "sessions:read")
    assert sten.get("/sessions").json()["meta"]["total_count"] == 2
    assert sten.get("/sessions/s").json()["session_name"] == "Sten's question"
    olgas = sten.get("/sessions/s", user_id=OWNER).json()
    assert olgas["session_name"] == "Olga's question"
    assert sten.get("/sessions/s/runs/r", user_id=OWNER).status_code == 200
    assert sten.get("/info").json()["user_isolation"] is False


def test_a_scope_is_still_needed(house: House) -> None:
    nobody = house.somebody(STRANGER, "agents:read")
    assert nobody.get("/sessions").status_code == 403
    assert nobody.send("DELETE", "/sessions/s", user_id=OWNER).status_code == 403
    assert house.session(OWNER, "s") is not None


def test_one_who_has_none_of_that_id_has_to_say_whose(house: House) -> None:
    third = house.somebody("third")
    assert third.get("/sessions/s").status_code == 409
    assert third.send("DELETE", "/sessions/s", user_id=OWNER).status_code == 204
    assert house.session(OWNER, "s") is None
    assert third.get("/sessions/s").json()["session_name"] == "Sten's question"


def test_rows_keep_the_name_of_who_made_them(house: House) -> None:
    made = house.somebody(STRANGER).send("POST", "/sessions", {"session_id": "new"})
    assert made.json()["user_id"] == STRANGER
    assert house.session(STRANGER, "new") is not None
