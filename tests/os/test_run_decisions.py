"""What is decided about runs while they work is in the audit trail, too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from licet.audit import AuditConfig, AuditEvent
from licet.authz.authorizer import AccessRequest
from licet.authz.decision import Decision, deny, no_opinion
from licet.db.audit_records import AuditRecord
from tests.support.audited import BLOCKING, Trail
from tests.support.durable_place import wait_for
from tests.support.waiting_place import At, PausePlace
from tests.support.world import OWNER


class Engine:
    """Denies running agents once it is told to."""

    def __init__(self) -> None:
        self.denies = False

    async def authorize(self, request: AccessRequest) -> Decision:
        if self.denies and request.method == "RUN":
            return deny("the office is closed", "hours")
        return no_opinion("not my business", "engine")


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, engine: Engine) -> Iterator[At]:
    place = PausePlace(tmp_path_factory.mktemp("decisions"))
    with place.served(audit=BLOCKING, authorizers=[engine]) as made:
        yield made


@pytest.fixture
def at(served: At, engine: Engine) -> At:
    served.made()
    engine.denies = False
    return served


def run(at: At, message: str, agent: str = "alpha", **headers: str) -> dict[str, Any]:
    """A run of Olga's, at its end."""
    answer = at.client.post(
        f"/agents/{agent}/runs",
        data={"message": message, "stream": "false"},
        headers={**at.olga, **headers},
    )
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def of_work(trail: Trail) -> list[AuditRecord]:
    return [each for each in trail.news() if each.kind != "request"]


def test_each_tool_call_has_a_record_with_the_request_that_began_its_run(at: At) -> None:
    trail = Trail(at.place.db)
    done = run(at, "look 1 + look 2 | look 3", **{"x-request-id": "r-7"})
    found = of_work(trail)
    assert [each.reason for each in found] == ["look: the caller holds agents:run"] * 3
    for each in found:
        assert (each.kind, each.decision, each.status) == ("tool_call", "allow", None)
        assert (each.subject, each.rule, each.request_id) == (OWNER, "scope:agents:run", "r-7")
        assert (each.action, each.resource, each.resource_id) == ("agents:run", "agents", "alpha")
        assert (each.method, each.route) == ("RUN", f"/agents/alpha/runs/{done['run_id']}")


def test_that_a_run_begins_which_was_just_let_in_is_not_recorded_twice(at: At) -> None:
    trail = Trail(at.place.db)
    assert run(at, "no tools")["status"] != "ERROR"
    assert {each.kind for each in trail.news()} <= {"request", "tool_call"}


def test_a_durable_run_has_a_record_when_it_begins_and_when_it_goes_on(at: At) -> None:
    trail = Trail(at.place.db)
    paused = at.begin("pay 3", "beta")
    (began, call) = of_work(trail)
    assert (began.kind, began.decision, began.rule) == ("run", "allow", "scope:agents:run")
    assert began.route == f"/agents/beta/runs/{paused.run_id}"
    assert (call.kind, call.reason) == ("tool_call", "pay: the caller holds agents:run")
    at.went_on(paused, paused.saying(confirmed=True))
    wait_for(lambda: at.now(paused)["status"] == "COMPLETED", "its end")
    assert [each.kind for each in of_work(trail)] == ["run", "tool_call"]


def test_a_call_that_is_denied_has_the_reason_and_is_not_made(at: At, engine: Engine) -> None:
    paused = at.begin("pay 3")
    trail = Trail(at.place.db)
    engine.denies = True
    done = at.went_on(paused, paused.saying(confirmed=True))
    assert (done["status"], at.made()) == ("CANCELLED", [])
    (record,) = of_work(trail)
    assert (record.kind, record.decision, record.status) == ("run", "deny", 403)
    assert (record.rule, record.reason) == ("hours", "the office is closed")


def test_without_authorization_nothing_is_decided(tmp_path: Path) -> None:
    place = PausePlace(tmp_path, agents=("alpha",))
    with place.unguarded() as at:
        paused = at.begin("pay 3 + refund 4")
        assert at.resolve(at.approval(paused), resolved_by="ada").status_code == 200
        at.went_on(paused, paused.saying(0, confirmed=True))
    assert [each for each in Trail.of(place.db) if each.kind != "request"] == []


class PickySink:
    """Takes everything but what is of some kinds."""

    def __init__(self) -> None:
        self.refused: set[str] = set()
        self.taken: list[AuditEvent] = []

    async def start(self) -> None:
        """It is ready."""

    async def write(self, events: Sequence[AuditEvent]) -> None:
        if any(event.kind in self.refused for event in events):
            raise OSError("the disk is full")
        self.taken += events

    async def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def picky(tmp_path: Path) -> Iterator[tuple[At, PickySink]]:
    sink = PickySink()
    config = AuditConfig(mode="blocking", database=False, sinks=(sink,), timeout_seconds=0.2)
    with PausePlace(tmp_path, agents=("alpha",)).served(audit=config) as at:
        try:
            yield at, sink
        finally:
            sink.refused = set()


def test_a_decision_that_cannot_be_recorded_is_not_made(picky: tuple[At, PickySink]) -> None:
    at, sink = picky
    paused = at.begin("refund 5")
    identifier = at.approval(paused)
    sink.refused = {"approval"}
    answer = at.resolve(identifier)
    sink.refused = set()
    assert (answer.status_code, at.approvals(paused)[0]["status"]) == (503, "pending")
    assert at.resolve(identifier).status_code == 200


def test_a_call_that_cannot_be_recorded_is_not_made(picky: tuple[At, PickySink]) -> None:
    at, sink = picky
    sink.refused = {"tool_call"}
    done = run(at, "look 1")
    assert (done["status"], at.made()) == ("ERROR", [])
