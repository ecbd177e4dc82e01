"""A run that waits goes on under who began it, and only as long as they may have it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from licet.agent.output import RunOutput
from licet.authz.authorizer import AccessRequest
from licet.authz.decision import Decision, allow, deny, no_opinion
from tests.support.durable_place import wait_for
from tests.support.waiting_place import At, Paused, PausePlace
from tests.support.world import OWNER

YES = {"confirmed": True}
# Long enough for a run to begin on a busy machine, before it is over.
AUTHORITY_SECONDS, TOKEN_SECONDS = 2.0, 4
EXPIRED = "the authority under which the run was started has expired"


@pytest.fixture(params=["alpha", "beta"])
def agent(request: pytest.FixtureRequest) -> str:
    """One that works in the foreground, and a durable one."""
    name: str = request.param
    return name


@pytest.fixture
def place(tmp_path: Path) -> PausePlace:
    return PausePlace(tmp_path)


@contextmanager
def waiting(
    place: PausePlace, agent: str, message: str = "pay 3", claims: Any = (), **given: Any
) -> Iterator[tuple[At, Paused]]:
    """A run of Olga's that waits; she has a new token meanwhile."""
    with place.served(**given) as at:
        first = place.world.bearer(OWNER, "agents:run", **dict(claims))
        run = at.begin(message, agent, headers=first)
        yield at, run


def refresh(at: At) -> dict[str, str]:
    """A token of Olga's that was issued after everything that was revoked."""
    return at.place.world.bearer(OWNER, "agents:run", iat=int(time.time()) + 5)


def assert_ended(at: At, run: Paused, why: str) -> None:
    """The run has ended for that reason, and no tool was called."""
    wait_for(lambda: at.place.record(run.run_id).status != "PENDING", "the run to be looked at")
    wait_for(lambda: at.place.record(run.run_id).status != "RUNNING", "the run to end")
    ended = RunOutput.from_json(at.place.record(run.run_id).body)
    assert (ended.status, ended.error_type) == ("CANCELLED", "revoked")
    assert why in (ended.cancellation_reason or "")
    assert at.made() == []


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ({"token_id": "t-1"}, "the token was revoked"),
        ({"subject": OWNER}, "what was issued to the subject before was revoked"),
        ({"sid": "login-1"}, "the login session has ended"),
    ],
)
def test_whoever_was_revoked_while_it_waited_does_not_have_it(
    place: PausePlace, agent: str, what: dict[str, str], why: str
) -> None:
    with waiting(place, agent, claims={"jti": "t-1", "sid": "login-1"}) as (at, run):
        at.revoke(**what)
        answer = at.go_on(run, run.saying(**YES), headers=refresh(at))
        assert (answer.status_code, answer.json()["status"]) == (200, "CANCELLED")
        assert_ended(at, run, why)


def test_an_approval_does_not_give_it_back_to_them(place: PausePlace, agent: str) -> None:
    with waiting(place, agent, "refund 5", {"jti": "t-1"}) as (at, run):
        at.revoke(token_id="t-1")
        assert at.resolve(at.approval(run)).status_code == 200
        if agent == "alpha":
            at.go_on(run, headers=refresh(at))
        assert_ended(at, run, "the token was revoked")


def test_somebody_elses_revocation_changes_nothing(place: PausePlace, agent: str) -> None:
    with waiting(place, agent, claims={"jti": "t-1"}) as (at, run):
        at.revoke(token_id="t-2")
        assert at.went_on(run, run.saying(**YES))["status"] == "COMPLETED"
        assert at.made() == ["pay 3"]


def test_an_authority_lasts_only_so_long(place: PausePlace, agent: str) -> None:
    short = {"authority_ttl": timedelta(seconds=AUTHORITY_SECONDS)}
    with waiting(place, agent, config=short) as (at, run):
        over = time.monotonic() + AUTHORITY_SECONDS
        wait_for(lambda: time.monotonic() > over, "the end of its authority")
        assert at.went_on(run, run.saying(**YES))["status"] == "CANCELLED"
        assert_ended(at, run, EXPIRED)


def test_nobody_approves_what_cannot_go_on_any_more(place: PausePlace, agent: str) -> None:
    short = {"authority_ttl": timedelta(seconds=AUTHORITY_SECONDS)}
    with waiting(place, agent, "refund 5", config=short) as (at, run):
        identifier = at.approval(run)
        wait_for(lambda: at.approvals(run)[0]["status"] == "expired", "its end")
        answer = at.resolve(identifier)
        assert (answer.status_code, "'expired'" in answer.text) == (409, True)
        assert at.approvals(run, status="pending") == []
        (found,) = at.approvals(run, status="expired")
        assert (found["id"], found["run_status"]) == (identifier, "PAUSED")
        assert found["expires_at"] is not None
        # Its owner is told that there is nothing to wait for.
        refused = at.go_on(run)
        assert (refused.status_code, "expired" in refused.text) == (409, True)
        assert at.client.post(run.url("/cancel"), headers=at.olga).status_code == 200
        assert at.made() == []


def test_in_the_strict_mode_it_ends_with_the_token(place: PausePlace, agent: str) -> None:
    config = {"leeway_seconds": 0, "run_authority": "token"}
    with waiting(place, agent, claims={"expires_in_seconds": TOKEN_SECONDS}, config=config) as (
        at,
        run,
    ):
        over = time.monotonic() + TOKEN_SECONDS
        wait_for(lambda: time.monotonic() > over, "the token's end")
        assert at.went_on(run, run.saying(**YES))["status"] == "CANCELLED"
        assert_ended(at, run, "the token has expired")


@dataclass
class Moody:
    """An authorizer that changes its mind about runs."""

    decision: Decision = field(default_factory=lambda: no_opinion("fine", "mood"))
    asked: list[AccessRequest] = field(default_factory=list)

    async def authorize(self, request: AccessRequest) -> Decision:
        """Say what the mood is."""
        if request.method != "RUN":
            return allow("whoever asks may ask", "mood")
        self.asked.append(request)
        return self.decision


def test_an_authorizer_may_have_changed_its_mind(place: PausePlace, agent: str) -> None:
    moody = Moody()
    with waiting(place, agent, authorizers=[moody]) as (at, run):
        moody.decision = deny("it is the weekend", "mood")
        assert at.went_on(run, run.saying(**YES))["status"] == "CANCELLED"
        assert_ended(at, run, "it is the weekend")
        assert {request.principal.subject for request in moody.asked} == {OWNER}


def test_it_is_the_one_who_began_it_that_is_asked_about(place: PausePlace, agent: str) -> None:
    moody = Moody()
    with waiting(place, agent, authorizers=[moody]) as (at, run):
        moody.asked.clear()
        done = at.went_on(run, run.saying(**YES), headers=place.world.admin())
        assert done["status"] == "COMPLETED"
        assert {request.principal.subject for request in moody.asked} == {OWNER}


def test_its_token_may_have_expired(place: PausePlace, agent: str) -> None:
    config = {"leeway_seconds": 0}
    with waiting(place, agent, claims={"expires_in_seconds": TOKEN_SECONDS}, config=config) as (
        at,
        run,
    ):
        over = time.monotonic() + TOKEN_SECONDS
        wait_for(lambda: time.monotonic() > over, "the token's end")
        assert at.went_on(run, run.saying(**YES))["status"] == "COMPLETED"
        assert at.made() == ["pay 3"]
