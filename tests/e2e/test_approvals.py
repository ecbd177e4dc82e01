"""Approvals in a cluster: decided once, wherever, and done once, whatever process dies."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.pausing import ANSWER, Office, at_once, office, statuses, until, yes
from tests.support.survival import Replica

ROUNDS = 5


def test_a_durable_run_goes_on_by_itself_when_it_is_approved_elsewhere(at: Office) -> None:
    first, second = at.replicas
    run = at.begin(first, "refund twice", durable=True)
    (approval,) = at.approvals(second, run)
    assert approval["tool_args"] == {"amount": 5}
    assert at.resolve(second, approval).json()["status"] == "approved"
    until(lambda: len(at.approvals(first, run)) == 2, "the second approval")
    newest, oldest = at.approvals(first, run)
    assert (newest["status"], oldest["status"]) == ("pending", "approved")
    assert at.resolve(first, newest).status_code == 200
    assert at.reached(second, run, "COMPLETED")["content"] == ANSWER
    assert [call.tool for call in at.calls(run)] == ["refund", "refund"]


def test_a_foreground_run_waits_for_its_owner_when_it_is_approved(at: Office) -> None:
    first, second = at.replicas
    run = at.begin(first, "refund")
    (approval,) = at.approvals(second, run)
    assert at.go_on(second, run).status_code == 409
    assert at.resolve(second, approval).json()["run_status"] == "PAUSED"
    assert at.calls(run) == []
    assert at.go_on(second, run).json()["status"] == "COMPLETED"
    (call,) = at.calls(run)
    assert at.where(call.pid) is second


def test_a_durable_run_that_waits_for_its_owner_too_goes_on_when_both_have_decided(
    at: Office,
) -> None:
    first, second = at.replicas
    run = at.begin(first, "pay and refund", durable=True)
    early = at.go_on(first, run, yes("pay-1"))
    assert (early.status_code, "refund-1" in early.text) == (409, True)
    approve(at, second, run)
    late = at.go_on(first, run)
    assert (late.status_code, "pay-1" in late.text) == (409, True)
    assert (at.run(second, run)["status"], at.calls(run)) == ("PAUSED", [])
    assert at.go_on(second, run, yes("pay-1")).json()["status"] == "COMPLETED"
    assert sorted(tools(at, run)) == ["pay", "refund"]


def test_an_approval_outlives_the_process_that_asked_for_it(tmp_path: Path, shared_db: str) -> None:
    with office(tmp_path, shared_db, replicas=1) as at:
        run = at.begin(at.replicas[0], "refund", durable=True)
        at.house.kill(at.replicas[0])
        at.start(1)
        (approval,) = at.approvals(at.replicas[0], run)
        assert approval["status"] == "pending"
        assert at.resolve(at.replicas[0], approval).status_code == 200
        at.reached(at.replicas[0], run, "COMPLETED")
        assert len(at.calls(run)) == 1


def test_what_was_approved_and_done_is_not_done_again_after_a_crash(
    tmp_path: Path, shared_db: str
) -> None:
    with office(tmp_path, shared_db, replicas=2) as at:
        run = at.begin(at.replicas[0], "refund, then report", durable=True)
        approve(at, at.replicas[1], run)
        # The next step is under way: the one before it is stored.
        until(lambda: "report" in tools(at, run), "its report")
        at.house.kill(at.where(at.calls(run)[-1].pid))
        at.open()
        (left,) = at.replicas
        ended = at.reached(left, run, "COMPLETED")
        refund, *reports = at.calls(run)
    assert (ended["content"], ended["tools"][0]["result"]) == (ANSWER, "gave 5 back")
    assert refund.tool == "refund"
    assert [(call.tool, call.key) for call in reports] == [("report", reports[0].key)] * 2


def test_what_was_approved_is_done_though_its_process_dies_at_once(
    tmp_path: Path, shared_db: str
) -> None:
    with office(tmp_path, shared_db, replicas=2) as at:
        first, second = at.replicas
        run = at.begin(first, "refund", durable=True)
        approve(at, second, run)
        at.house.kill(second)
        at.reached(first, run, "COMPLETED")
        # It may have been under way: then it is made again, under the same key.
        assert len({call.key for call in at.calls(run)}) == 1


def test_of_two_that_decide_at_once_one_does(at: Office) -> None:
    first, second = at.replicas
    for _ in range(ROUNDS):
        run = at.begin(first, "refund", durable=True)
        (approval,) = at.approvals(first, run)
        said_yes, said_no = at_once(
            partial(at.resolve, first, approval, "approved", "ada"),
            partial(at.resolve, second, approval, "rejected", "bob"),
        )
        assert statuses([said_yes, said_no]) == [200, 409]
        was_approved = said_yes.status_code == 200
        ended = at.reached(first, run, "COMPLETED")
        assert ended["tools"][0]["confirmed"] is was_approved
        assert len(at.calls(run)) == was_approved
        (decided,) = at.approvals(second, run)
        assert decided["resolved_by"] == ("ada" if was_approved else "bob")


def test_two_that_approve_the_same_call_at_once_have_it_made_once(at: Office) -> None:
    for _ in range(ROUNDS):
        run = at.begin(at.replicas[0], "refund", durable=True)
        (approval,) = at.approvals(at.replicas[0], run)
        people = zip(at.replicas, ("ada", "bob"), strict=True)
        answers = at_once(
            *(partial(at.resolve, each, approval, "approved", who) for each, who in people)
        )
        assert statuses(answers) == [200, 409]
        at.reached(at.replicas[1], run, "COMPLETED")
        assert len(at.calls(run)) == 1


def test_the_last_of_several_decisions_lets_a_run_go_on_though_they_come_at_once(
    at: Office,
) -> None:
    for _ in range(ROUNDS):
        run = at.begin(at.replicas[0], "refund both", durable=True)
        asked = zip(at.replicas, at.approvals(at.replicas[0], run), strict=True)
        answers = at_once(*(partial(at.resolve, each, approval) for each, approval in asked))
        assert statuses(answers) == [200, 200]
        at.reached(at.replicas[0], run, "COMPLETED")
        assert len({call.key for call in at.calls(run)}) == len(at.calls(run)) == 2


def test_a_run_that_is_cancelled_before_it_is_approved_calls_nothing(at: Office) -> None:
    first, second = at.replicas
    for _ in range(ROUNDS):
        run = at.begin(first, "refund", durable=True)
        (approval,) = at.approvals(first, run)
        path = f"/agents/clerk/runs/{run['run_id']}/cancel"
        cancelled, approved = at_once(
            partial(at.ask, first, "uma", "POST", path),
            partial(at.resolve, second, approval),
        )
        ended = at.ended(first, run)
        (stands,) = at.approvals(first, run)
        assert approved.status_code == (200 if stands["status"] == "approved" else 409)
        if approved.status_code == 409:
            assert (cancelled.status_code, stands["status"]) == (200, "cancelled")
            assert (ended["status"], at.calls(run)) == ("CANCELLED", [])
        else:
            # It went on, perhaps to its end before it heard that it was to stop.
            assert len(at.calls(run)) == 1 or ended["status"] == "CANCELLED"


def test_what_is_approved_for_somebody_who_was_revoked_is_not_done(
    tmp_path: Path, shared_db: str
) -> None:
    with office(tmp_path, shared_db, replicas=2) as at:
        first, second = at.replicas
        runs = [at.begin(first, "refund", durable=durable) for durable in (False, True)]
        revoked = at.ask(first, "admin", "POST", "/revocations", json={"subject": "uma"})
        assert revoked.status_code == 201, revoked.text
        until(lambda: at.ask(second, "uma", "GET", "/agents").status_code == 401, "the revocation")
        for run in runs:
            approve(at, second, run)
        waits, ended = runs
        # Another one than Uma may see it, and go on with it: that gives it no other authority.
        path = f"/agents/clerk/runs/{waits['run_id']}/continue"
        at.ask(second, "admin", "POST", path, data={"stream": "false"})
        for run in (waits, ended):
            found = at.reached(second, run, "CANCELLED", who="admin")
            assert found["error_type"] == "revoked"
            assert at.calls(run) == []


def approve(at: Office, replica: Replica, run: dict[str, Any]) -> None:
    """Have Ada approve the one call that a run waits with."""
    (approval,) = at.approvals(replica, run)
    answer = at.resolve(replica, approval)
    assert answer.status_code == 200, answer.text


def tools(at: Office, run: dict[str, Any]) -> list[str]:
    """The tools that were called."""
    return [call.tool for call in at.calls(run)]


@pytest.fixture(autouse=True)
def _patience(request: pytest.FixtureRequest) -> None:
    request.node.add_marker(pytest.mark.timeout(180))
