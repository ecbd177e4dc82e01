"""Runs that wait for their owner, in a cluster: any process goes on with them, and one only."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.pausing import ANSWER, Office, at_once, office, statuses, told, until, yes

DURABLE = pytest.mark.parametrize("durable", [False, True], ids=["foreground", "durable"])
ROUNDS = 5


def indices(events: list[Any]) -> list[int]:
    return [event["event_index"] for event in events]


def names(events: list[Any]) -> list[str]:
    return [event["event"] for event in events]


@DURABLE
def test_a_pause_outlives_its_process(tmp_path: Path, shared_db: str, *, durable: bool) -> None:
    with office(tmp_path, shared_db, replicas=1) as at:
        run = at.begin(at.replicas[0], "pay", durable=durable)
        at.house.kill(at.replicas[0])
        at.start(1)
        assert at.run(at.replicas[0], run)["status"] == "PAUSED"
        assert at.calls(run) == []
        ended = at.go_on(at.replicas[0], run, yes("pay-1")).json()
        assert (ended["status"], ended["content"]) == ("COMPLETED", ANSWER)
        (call,) = at.calls(run)
        assert at.where(call.pid) is at.replicas[0]


def test_a_foreground_run_goes_on_where_its_owner_says_so(at: Office) -> None:
    first, second = at.replicas
    form = {"message": "pay"}
    before = told(at.ask(first, "uma", "POST", "/agents/clerk/runs", data=form))
    run = before[-1]
    assert at.go_on(second, run).status_code == 409
    after = told(at.go_on(second, run, yes("pay-1"), stream="true"))
    assert indices(before + after) == list(range(len(before + after)))
    assert (before[-1]["event"], after[0]["event"]) == ("RunPaused", "RunContinued")
    assert after[-1]["event"] == "RunCompleted"
    (call,) = at.calls(run)
    assert at.where(call.pid) is second
    # Where it had paused it is told anew, to its end.
    assert names(at.events(first, run))[-1] == "RunCompleted"
    assert at.events(second, run, after=indices(before)[-1]) == after


def test_a_durable_run_is_told_alike_everywhere_over_its_pauses(at: Office) -> None:
    run = at.begin(at.replicas[0], "pay twice", durable=True)
    again = at.go_on(at.replicas[1], run, yes("pay-1")).json()
    assert again["status"] == "PAUSED"
    waiting = [at.events(each, run) for each in at.replicas]
    assert at.go_on(at.replicas[0], run, yes("pay-2")).json()["status"] == "COMPLETED"
    ended = [at.events(each, run) for each in at.replicas]
    assert len(at.calls(run)) == 2
    assert waiting[0] == waiting[1] == ended[0][: len(waiting[0])]
    assert ended[0] == ended[1]
    assert indices(ended[0]) == list(range(len(ended[0])))
    said = [name for name in names(ended[0]) if name.startswith("Run") and "Content" not in name]
    assert said == [
        "RunStarted",
        *("RunPaused", "RunContinued"),
        *("RunPaused", "RunContinued"),
        "RunCompleted",
    ]


@pytest.mark.parametrize("stream", ["true", "false"])
def test_a_foreground_run_that_waits_again_elsewhere_is_told_as_it_waits_now(
    at: Office, stream: str
) -> None:
    first, second = at.replicas
    form = {"message": "pay twice"}
    run = told(at.ask(first, "uma", "POST", "/agents/clerk/runs", data=form))[-1]
    assert at.go_on(second, run, yes("pay-1"), stream=stream).status_code == 200
    for replica in (first, second):
        last = at.events(replica, run)[-1]
        assert last["event"] == "RunPaused"
        assert [tool["tool_call_id"] for tool in last["tools"]] == ["pay-2"]
    assert at.go_on(first, run, yes("pay-2")).json()["status"] == "COMPLETED"
    assert [call.tool for call in at.calls(run)] == ["pay", "pay"]


@DURABLE
def test_of_two_that_go_on_at_once_one_does(at: Office, *, durable: bool) -> None:
    for _ in range(ROUNDS):
        run = at.begin(at.replicas[0], "pay", durable=durable)
        answers = at_once(*(partial(at.go_on, each, run, yes("pay-1")) for each in at.replicas))
        assert statuses(answers) == [200, 409]
        assert at.reached(at.replicas[0], run, "COMPLETED")["content"] == ANSWER
        assert [call.tool for call in at.calls(run)] == ["pay"]


def test_a_yes_and_a_no_at_once_are_not_both_done(at: Office) -> None:
    first, second = at.replicas
    for _ in range(ROUNDS):
        run = at.begin(first, "pay")
        no = {"tool_call_id": "pay-1", "confirmed": False}
        said_yes, said_no = at_once(
            partial(at.go_on, first, run, yes("pay-1")), partial(at.go_on, second, run, no)
        )
        assert statuses([said_yes, said_no]) == [200, 409]
        assert len(at.calls(run)) == (1 if said_yes.status_code == 200 else 0)


def test_a_foreground_run_ends_with_the_process_that_went_on_with_it(
    tmp_path: Path, shared_db: str
) -> None:
    with office(tmp_path, shared_db, replicas=2) as at:
        first, second = at.replicas
        run = at.begin(first, "pay, then report")
        leave_it_at_its_report(at, run)
        at.house.kill(second)
        ended = at.reached(first, run, "ERROR")
        assert ended["error_type"] == "process_died"
        assert at.go_on(first, run, yes("pay-1")).status_code == 409
        assert [call.tool for call in at.calls(run)] == ["pay", "report"]


def test_a_durable_run_that_its_owner_let_go_on_outlives_the_process_that_works_on_it(
    tmp_path: Path, shared_db: str
) -> None:
    with office(tmp_path, shared_db, replicas=2) as at:
        run = at.begin(at.replicas[0], "pay, then report", durable=True)
        accepted = at.go_on(at.replicas[1], run, yes("pay-1"), background="true")
        assert accepted.status_code == 202
        until(lambda: "report" in [call.tool for call in at.calls(run)], "its report")
        at.house.kill(at.where(at.calls(run)[-1].pid))
        at.open()
        ended = at.reached(at.replicas[0], run, "COMPLETED")
        assert ended["content"] == ANSWER
        # What was confirmed and done is stored: it is not done again.
        assert [call.tool for call in at.calls(run)] == ["pay", "report", "report"]
        events = at.events(at.replicas[0], run)
    assert indices(events) == list(range(len(events)))
    assert names(events)[-1] == "RunCompleted"


def leave_it_at_its_report(at: Office, run: dict[str, Any]) -> None:
    """Have the second process go on with a run, without waiting for what it comes to."""
    form = {"tools": '[{"tool_call_id": "pay-1", "confirmed": true}]', "stream": "true"}
    path = f"/agents/clerk/runs/{run['run_id']}/continue"
    with at.asking(at.replicas[1], "uma", "POST", path, data=form) as answer:
        assert answer.status_code == 200
        until(lambda: "report" in [call.tool for call in at.calls(run)], "its report")
