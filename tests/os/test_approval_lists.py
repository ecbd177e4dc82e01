"""Lists of approvals: filtered, in pages, and counted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.waiting_place import At, Paused, PausePlace
from tests.support.world import OWNER, STRANGER


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[At]:
    with PausePlace(tmp_path_factory.mktemp("pauses")).served() as made:
        yield made


@pytest.fixture
def at(served: At) -> At:
    served.made()
    return served


@pytest.fixture(scope="module")
def waiting(served: At) -> tuple[Paused, Paused]:
    """Olga's run, which waits for two calls, and Sten's."""
    sten = served.place.world.bearer(STRANGER, "agents:run")
    first = served.begin("refund 1 + refund 2", session_id="list-1")
    return first, served.begin("refund 3", "beta", headers=sten, session_id="list-2")


def found(at: At, **which: Any) -> list[int]:
    """The amounts of those that are listed."""
    answer = at.client.get("/approvals", params=which, headers=at.bo)
    assert answer.status_code == 200, answer.text
    return [each["tool_args"]["amount"] for each in answer.json()["data"]]


def test_they_are_filtered(at: At, waiting: tuple[Paused, Paused]) -> None:
    olgas, stens = waiting
    assert sorted(found(at, session_id="list-1")) == [1, 2]
    assert sorted(found(at, run_id=olgas.run_id, tool_name="refund")) == [1, 2]
    assert found(at, run_id=stens.run_id, agent_id="beta", user_id=STRANGER) == [3]
    assert found(at, session_id="list-2", status="pending") == [3]
    for nothing in (
        {"agent_id": "alpha"},
        {"user_id": OWNER},
        {"tool_name": "pay"},
        {"status": "approved"},
        {"session_id": "list-1"},
        {"run_id": "\0"},
    ):
        assert found(at, **{"run_id": stens.run_id, **nothing}) == []


def test_they_have_pages_the_latest_first(at: At, waiting: tuple[Paused, Paused]) -> None:
    assert waiting
    where: dict[str, Any] = {"session_id": "list-1", "limit": 1}
    pages = [
        at.client.get("/approvals", params={**where, "page": page}, headers=at.bo).json()
        for page in (1, 2, 3)
    ]
    assert [len(page["data"]) for page in pages] == [1, 1, 0]
    amounts = {page["data"][0]["tool_args"]["amount"] for page in pages[:2]}
    assert amounts == {1, 2}
    meta = pages[0]["meta"]
    assert (meta["page"], meta["limit"]) == (1, 1)
    assert (meta["total_pages"], meta["total_count"]) == (2, 2)
    latest = at.begin("refund 9", session_id="list-1")
    assert found(at, session_id="list-1", limit=1) == [9]
    at.client.post(latest.url("/cancel"), headers=at.olga)


def test_they_are_counted_while_they_wait(at: At, waiting: tuple[Paused, Paused]) -> None:
    assert waiting

    def count(**which: Any) -> int:
        answer = at.client.get("/approvals/count", params=which, headers=at.bo)
        assert answer.status_code == 200, answer.text
        found: int = answer.json()["count"]
        return found

    everybody, stens = count(), count(user_id=STRANGER)
    assert (stens, count(user_id="nobody")) == (1, 0)
    run = at.begin("refund 4")
    assert count() == everybody + 1
    assert at.resolve(at.approval(run), "rejected").status_code == 200
    assert count() == everybody


@pytest.mark.parametrize(
    "which",
    [
        {"status": "maybe"},
        {"status": "PENDING"},
        {"page": "0"},
        {"page": "x"},
        {"page": "1" * 30},
        {"limit": "0"},
        {"limit": "1001"},
        {"limit": "-1"},
    ],
)
def test_junk_is_422(at: At, which: dict[str, str]) -> None:
    answer = at.client.get("/approvals", params=which, headers=at.bo)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"][0] == "query"


def test_an_unknown_database_is_404(at: At) -> None:
    for path in ("/approvals", "/approvals/count", "/approvals/x", "/approvals/x/status"):
        answer = at.client.get(path, params={"db_id": "none"}, headers=at.bo)
        assert answer.status_code == 404
    assert at.client.get("/approvals?db_id=pauses", headers=at.bo).status_code == 200
