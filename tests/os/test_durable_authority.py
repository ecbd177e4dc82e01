"""What a durable run may do is asked again when it starts and before each call of tools."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from licet.agent.output import RunOutput
from licet.authz.authorizer import AccessRequest
from licet.authz.decision import Decision, allow, deny, no_opinion
from licet.os import RunQueue
from tests.support.durable_place import DurablePlace, begun, post, wait_for
from tests.support.streams import frames, until
from tests.support.world import ADMIN, OWNER, STRANGER

ONE_AT_A_TIME = RunQueue(per_process=1)
# Long enough for a run to begin on a busy machine, before it is over.
AUTHORITY_SECONDS, TOKEN_SECONDS = 2.0, 4
EXPIRED = "the authority under which the run was started has expired"


@pytest.fixture
def place(tmp_path: Path) -> DurablePlace:
    return DurablePlace(tmp_path)


@dataclass
class Waiting:
    """A run of Olga's that waits for its turn, since another one is at work."""

    place: DurablePlace
    client: httpx.Client
    run_id: str
    before: str

    def its_turn(self) -> RunOutput:
        """Let it begin; answer what came of it."""
        self.place.hold("before").opened.set()
        self.place.ended(self.before)
        return self.place.ended(self.run_id)


@contextmanager
def waiting(place: DurablePlace, **given: Any) -> Iterator[Waiting]:
    claims = given.pop("claims", {})
    short = {name: value for name, value in claims.items() if name == "expires_in_seconds"}
    of_the_one_before = given.pop("of_the_one_before", short)
    with place.served(queue=ONE_AT_A_TIME, **given) as client:
        headers = place.bearer(STRANGER, **of_the_one_before)
        before = begun(post(client, headers, "hold before one two"))
        wait_for(lambda: place.asked["hold before one two"] == 1, "the one before to work")
        run_id = begun(post(client, place.bearer(OWNER, **claims), "say hello"))
        assert place.status(run_id) == "PENDING"
        yield Waiting(place, client, run_id, before)


def assert_never_began(place: DurablePlace, output: RunOutput, reason: str) -> None:
    assert (output.status, output.error_type) == ("CANCELLED", "revoked")
    assert output.cancellation_reason is not None
    assert reason in output.cancellation_reason
    assert place.asked["say hello"] == 0


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ({"token_id": "t-1"}, "the token was revoked"),
        ({"subject": OWNER}, "what was issued to the subject before was revoked"),
        ({"sid": "login-1"}, "the login session has ended"),
    ],
)
def test_whoever_was_revoked_while_it_waited_does_not_have_it(
    place: DurablePlace, what: dict[str, str], reason: str
) -> None:
    with waiting(place, claims={"jti": "t-1", "sid": "login-1"}) as run:
        made = run.client.post("/revocations", json=what, headers=place.world.admin())
        assert made.status_code == 201
        assert_never_began(place, run.its_turn(), reason)


def test_who_was_not_revoked_has_it(place: DurablePlace) -> None:
    with waiting(place, claims={"jti": "t-1"}) as run:
        other = {"token_id": "t-2"}
        made = run.client.post("/revocations", json=other, headers=place.world.admin())
        assert made.status_code == 201
        assert run.its_turn().content == "hello"


def test_an_authority_lasts_only_so_long(place: DurablePlace) -> None:
    with waiting(place, config={"authority_ttl": timedelta(seconds=AUTHORITY_SECONDS)}) as run:
        over = time.monotonic() + AUTHORITY_SECONDS
        wait_for(lambda: time.monotonic() > over, "the end of its authority")
        assert_never_began(place, run.its_turn(), EXPIRED)


SHORT: dict[str, Any] = {"expires_in_seconds": TOKEN_SECONDS}


def wait_until_refused(run: Waiting, headers: dict[str, str]) -> None:
    wait_for(
        lambda: run.client.get("/agents", headers=headers).status_code == 401, "the token's end"
    )


def test_a_token_that_expires_stops_nothing(place: DurablePlace) -> None:
    with waiting(place, config={"leeway_seconds": 0}, claims=SHORT) as run:
        wait_until_refused(run, place.bearer(OWNER, **SHORT))
        assert run.its_turn().content == "hello"


def test_whoever_was_revoked_stays_so_for_as_long_as_their_work_may_wait(
    place: DurablePlace,
) -> None:
    config = {"leeway_seconds": 0, "max_token_lifetime_seconds": TOKEN_SECONDS}
    with waiting(place, config=config, claims=SHORT) as run:
        admin = place.world.bearer(ADMIN, "agent_os:admin", **SHORT)
        made = run.client.post("/revocations", json={"subject": OWNER}, headers=admin)
        assert made.status_code == 201
        over = time.monotonic() + TOKEN_SECONDS + 0.5
        wait_for(lambda: time.monotonic() > over, "the end of all tokens from before")
        assert_never_began(place, run.its_turn(), "what was issued to the subject before was")


def test_in_the_strict_mode_work_that_waits_ends_with_the_token(place: DurablePlace) -> None:
    config = {"leeway_seconds": 0, "run_authority": "token"}
    # The one before works until it is let go: else the other might begin before its token ends.
    with waiting(place, config=config, claims=SHORT, of_the_one_before={}) as run:
        wait_until_refused(run, place.bearer(OWNER, **SHORT))
        assert_never_began(place, run.its_turn(), "the token has expired")


def test_in_the_strict_mode_work_that_is_under_way_ends_with_the_token(
    place: DurablePlace,
) -> None:
    config = {"leeway_seconds": 0, "run_authority": "token"}
    with place.served(config=config) as client:
        run_id = begun(post(client, place.bearer(**SHORT), "work held"))
        # Nobody opens what it waits for: it is the token that ends it.
        output = place.ended(run_id)
        assert (output.status, output.cancellation_reason) == (
            "CANCELLED",
            "the token has expired",
        )


def test_whoever_is_revoked_while_it_works_loses_it_and_is_told_so(place: DurablePlace) -> None:
    with place.served() as client:
        headers = place.bearer(jti="t-1")
        form = {"message": "hold held one two", "background": "true"}
        with client.stream("POST", "/agents/alpha/runs", data=form, headers=headers) as answer:
            stream = frames(answer.iter_lines())
            run_id = until(stream, "RunContent")[-1].data["run_id"]
            revoked = {"token_id": "t-1"}
            made = client.post("/revocations", json=revoked, headers=place.world.admin())
            assert made.status_code == 201
            last = list(stream)[-1]
        assert (last.name, last.data["reason"]) == ("RunCancelled", "the token was revoked")
        output = place.ended(run_id)
        assert (output.error_type, output.content) == ("revoked", "one")


@dataclass
class Moody:
    """An authorizer that changes its mind about runs, and notes what it was asked of them."""

    decision: Decision = field(default_factory=lambda: no_opinion("fine", "mood"))
    fails: bool = False
    asked: list[AccessRequest] = field(default_factory=list)

    async def authorize(self, request: AccessRequest) -> Decision:
        """Say what the mood is."""
        if request.method != "RUN":
            return allow("whoever asks may ask", "mood")
        self.asked.append(request)
        if self.fails:
            raise RuntimeError("db.internal is away")
        return self.decision


def test_an_authorizer_may_change_its_mind_before_the_start(place: DurablePlace) -> None:
    moody = Moody()
    with waiting(place, authorizers=[moody]) as run:
        moody.decision = deny("it is the weekend", "mood")
        assert_never_began(place, run.its_turn(), "it is the weekend")
        (_, asked) = moody.asked
    assert (asked.principal.subject, asked.resource_id) == (OWNER, "alpha")
    assert asked.permission is not None
    assert asked.permission.scope == "agents:run"


def test_an_authorizer_may_change_its_mind_before_a_call_of_tools(place: DurablePlace) -> None:
    moody = Moody()
    with place.served(authorizers=[moody]) as client:
        run_id = begun(post(client, place.bearer(), "twice a"))
        wait_for(lambda: place.worked == ["a"], "the first call")
        moody.decision = deny("it is the weekend", "mood")
        place.hold("a").opened.set()
        output = place.ended(run_id)
        assert (output.status, output.cancellation_reason) == ("CANCELLED", "it is the weekend")
        # What was done is recorded.
        assert [tool.tool_name for tool in output.tools] == ["work"]
    assert place.worked == ["a"]
    # At the start, and before each of the two.
    assert len(moody.asked) == 3


def test_an_authorizer_that_cannot_say_stops_it_and_tells_no_secret(place: DurablePlace) -> None:
    moody = Moody()
    with waiting(place, authorizers=[moody]) as run:
        moody.fails = True
        output = run.its_turn()
        assert (output.status, output.error_type) == ("CANCELLED", "revoked")
        assert "db.internal" not in output.to_json().decode()
    assert place.asked["say hello"] == 0


def test_what_is_stored_of_the_authority_is_no_token(place: DurablePlace) -> None:
    with place.served() as client:
        headers = place.bearer(jti="t-1")
        run_id = begun(post(client, headers, "say hello"))
        place.ended(run_id)
        job = asyncio.run(place.job(run_id))
    assert job is not None
    assert job.snapshot is not None
    assert b'"t-1"' in job.snapshot
    token = headers["Authorization"].removeprefix("Bearer ").encode()
    header, payload, signature = token.split(b".")
    files = [file for file in place.folder.iterdir() if file.is_file()]
    assert {file.name for file in files} >= {"durable.db", "durable-steps.db"}
    for part in (token, payload, signature):
        assert not any(part in file.read_bytes() for file in files)
    assert header  # the same in all tokens: it says nothing
