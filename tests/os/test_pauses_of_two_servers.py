"""Two servers over one database: a run pauses at one of them, and people come to the other."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from licet.db.base import Db
from licet.db.postgres import PostgresDb
from licet.db.sqlite import SqliteDb
from tests.support.postgres import postgres_server, postgres_url
from tests.support.streams import names, whole
from tests.support.waiting_place import At, Paused, PausePlace

__all__ = ["postgres_server", "postgres_url"]

YES = {"confirmed": True}


@pytest.fixture(params=["sqlite", "postgres"])
def both(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[At, At]]:
    """Two servers, each with tools of its own."""

    def db() -> Db:
        if request.param == "sqlite":
            return SqliteDb(tmp_path / "shared.db", id="shared")
        return PostgresDb(str(request.getfixturevalue("postgres_url")), id="shared")

    here, there = (PausePlace(tmp_path, db(), agents=("alpha",)) for _ in range(2))
    there.world.tokens = here.world.tokens
    with here.served() as first, there.served() as second:
        yield first, second


def made(both: tuple[At, At]) -> list[str]:
    return [call for at in both for call in at.made()]


def test_any_of_them_goes_on_with_it(both: tuple[At, At]) -> None:
    here, there = both
    run = here.begin("pay 1 | refund 2 | look 3")
    second = Paused(there.went_on(run, run.saying(**YES)), "alpha")
    assert (here.made(), there.made()) == ([], ["pay 1"])
    assert there.resolve(here.approval(second)).status_code == 200
    done = here.went_on(second)
    assert (done["status"], done["content"]) == ("COMPLETED", "done")
    assert (here.made(), there.made()) == (["refund 2", "look 3"], [])
    assert there.now(run) == here.now(run)
    assert there.go_on(run, run.saying(**YES)).status_code == 409


def test_of_submits_to_both_one_is_answered_and_the_call_is_made_once(
    both: tuple[At, At],
) -> None:
    for _ in range(4):
        run = both[0].begin("pay 1")
        with ThreadPoolExecutor(6) as pool:
            submits = [pool.submit(at.go_on, run, run.saying(**YES)) for at in both * 3]
            codes = sorted(submit.result().status_code for submit in submits)
        assert codes == [200, 409, 409, 409, 409, 409]
        assert made(both) == ["pay 1"]


def test_of_two_opinions_one_counts(both: tuple[At, At]) -> None:
    here, there = both
    for _ in range(4):
        run = here.begin("refund 1")
        identifier = here.approval(run)
        with ThreadPoolExecutor(2) as pool:
            yes = pool.submit(here.resolve, identifier, "approved")
            no = pool.submit(there.resolve, identifier, "rejected")
            codes = (yes.result().status_code, no.result().status_code)
        assert codes in {(200, 409), (409, 200)}
        assert there.went_on(run)["tools"][0]["confirmed"] is (codes[0] == 200)
        assert made(both) == (["refund 1"] if codes[0] == 200 else [])


def test_a_cancel_there_and_a_decision_here_come_to_one_of_them(both: tuple[At, At]) -> None:
    here, there = both
    for _ in range(4):
        run = here.begin("pay 1")
        with ThreadPoolExecutor(2) as pool:
            going_on = pool.submit(here.go_on, run, run.saying(**YES))
            cancelling = pool.submit(there.client.post, run.url("/cancel"), headers=here.olga)
            codes = (going_on.result().status_code, cancelling.result().status_code)
        status = there.now(run)["status"]
        assert codes in {(200, 200), (200, 409), (409, 200)}
        assert status in {"CANCELLED", "COMPLETED"}
        if codes != (200, 200):
            assert status == ("COMPLETED" if codes[1] == 409 else "CANCELLED")
        if codes == (409, 200):
            assert made(both) == []
        made(both)


def test_who_asks_where_it_paused_hears_what_came_of_it_elsewhere(both: tuple[At, At]) -> None:
    here, there = both
    form = {"message": "pay 1 | pay 2"}
    told = whole(here.client.post("/agents/alpha/runs", data=form, headers=here.olga).text)
    run = Paused(told[-1].data, "alpha")
    second = Paused(there.went_on(run, run.saying(**YES)), "alpha")
    assert second.json["status"] == "PAUSED"
    last = here.told(run)[-1]
    assert [tool["tool_args"] for tool in last.data["tools"]] == [{"amount": 2}]
    assert there.went_on(second, second.saying(**YES))["status"] == "COMPLETED"
    assert names(here.told(run))[-1] == "RunCompleted"


def test_indices_go_on_where_it_goes_on(both: tuple[At, At]) -> None:
    here, there = both
    form = {"message": "pay 1"}
    told = whole(here.client.post("/agents/alpha/runs", data=form, headers=here.olga).text)
    run = Paused(told[-1].data, "alpha")
    answer = there.go_on(run, run.saying(**YES), stream="true")
    rest = whole(answer.text)
    assert [frame.index for frame in rest] == list(range(len(told), len(told) + len(rest)))
    back = {"Last-Event-ID": str(len(told) - 1)}
    assert there.told(run, **back) == rest
    assert names(here.told(run, **back))[-1] == "RunCompleted"
