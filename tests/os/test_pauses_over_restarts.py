"""A run that waits outlives its server, and goes on at the next one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.durable_place import wait_for
from tests.support.streams import names, whole
from tests.support.waiting_place import At, Paused, PausePlace

YES = {"confirmed": True}


def background(at: At, message: str) -> Paused:
    """A run in the background of an agent that works in the foreground; it waits by now."""
    form = {"message": message, "background": "true"}
    told = whole(at.client.post("/agents/alpha/runs", data=form, headers=at.olga).text)
    assert told[-1].name == "RunPaused"
    return Paused(told[-1].data, "alpha")


@pytest.mark.parametrize("agent", ["alpha", "beta"])
def test_its_owner_decides_at_the_next_one(tmp_path: Path, agent: str) -> None:
    place = PausePlace(tmp_path)
    with place.served() as before:
        run = before.begin("pay 1 | pay 2", agent)
        told = before.told(run)
    with place.served() as at:
        assert at.now(run) == run.json
        # The replay begins anew, and ends in the same way.
        assert names(at.told(run))[-1] == names(told)[-1] == "RunPaused"
        second = Paused(at.went_on(run, run.saying(**YES)), agent)
        assert at.made() == ["pay 1"]
    with place.served() as at:
        rest = whole(at.go_on(second, second.saying(**YES), stream="true").text)
        assert (rest[0].name, rest[-1].name) == ("RunContinued", "RunCompleted")
        assert names(at.told(run))[-1] == "RunCompleted"
        assert at.made() == ["pay 2"]


@pytest.mark.parametrize("agents", [("alpha", "beta"), ("alpha",)])
def test_others_decide_at_the_next_one_and_it_goes_on_by_itself(
    tmp_path: Path, agents: tuple[str, ...]
) -> None:
    place = PausePlace(tmp_path, agents=agents)
    with place.served() as before:
        run = background(before, "refund 5")
    with place.served() as at:
        assert at.resolve(at.approval(run)).status_code == 200
        wait_for(lambda: at.now(run)["status"] == "COMPLETED", "its end")
        assert at.made() == ["refund 5"]
        told = at.told(run)
        assert [frame.index for frame in told] == list(range(len(told)))
        assert names(told)[-1] == "RunCompleted"


def test_a_request_that_is_repeated_finds_the_run_that_waits(tmp_path: Path) -> None:
    place = PausePlace(tmp_path, agents=("alpha",))
    with place.served() as at:
        once = {**at.olga, "Idempotency-Key": "k"}
        run = at.begin("pay 1", headers=once)
        assert at.begin("pay 1", headers=once).json == run.json
        done = at.went_on(run, run.saying(**YES))
        form = {"message": "pay 1", "stream": "false"}
        again = at.client.post("/agents/alpha/runs", data=form, headers=once)
        assert (again.json(), at.made()) == (done, ["pay 1"])
