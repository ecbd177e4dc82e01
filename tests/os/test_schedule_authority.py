"""Whether a schedule may fire is asked anew each time, and recorded either way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from licet.audit import AuditConfig, AuditEvent, AuditMode
from licet.authz.authorizer import AccessRequest
from licet.authz.decision import Decision, deny, no_opinion
from licet.db.audit_records import AuditQuery, AuditRecord
from tests.contract.schedule_rows import schedule
from tests.support.durable_place import wait_for
from tests.support.schedule_place import EVERYBODY, SchedulePlace, served_schedules
from tests.support.world import ADMIN, OWNER


@dataclass
class Moody:
    """Denies what it is told to, and notes what it was asked of schedules that fire."""

    denied: set[str] = field(default_factory=set)
    fails: bool = False
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    meanwhile: Callable[[], Awaitable[object]] | None = None

    async def authorize(self, request: AccessRequest) -> Decision:
        permission = request.permission
        if self.fails and request.method == "RUN":
            raise RuntimeError("the policy engine is away")
        if permission is None:
            return no_opinion("nothing is asked", "moody")
        if request.method == "RUN":
            self.asked.append((permission.scope, request.resource_id))
            if self.meanwhile is not None:
                await self.meanwhile()
        if request.method == "RUN" and permission.scope in self.denied:
            return deny("not today", "moody")
        return no_opinion("as you like", "moody")


def decided(at: SchedulePlace, schedule_id: str, count: int = 1) -> AuditRecord:
    """The last of so many decisions about its firing."""
    wait_for(lambda: len(at.decisions(schedule_id)) == count, "the records of what was decided")
    return max(at.decisions(schedule_id), key=lambda record: (record.time_us, record.seq))


def assert_denied(came: dict[str, Any], reason: str, status: int) -> None:
    assert (came["status"], came["status_code"]) == ("failed", status)
    assert reason in came["error"]
    assert (came["run_id"], came["session_id"]) == (None, None)
    assert came["completed_at"] is not None


def test_what_is_allowed_is_recorded_with_whose_authority_it_has(tmp_path: Path) -> None:
    with served_schedules(tmp_path) as at:
        headers = at.bearer(OWNER, jti="t-1")
        schedule_id = at.made(headers=headers)
        came = at.trigger(schedule_id)
        record = decided(at, schedule_id)
    assert (record.decision, record.status, record.kind) == ("allow", None, "schedule")
    assert (record.subject, record.credential, record.token_id) == (OWNER, "jwt", "t-1")
    assert (record.action, record.resource, record.resource_id) == (
        "agents:run",
        "agents",
        "alpha",
    )
    assert (record.method, record.route) == ("SCHEDULE", f"/schedules/{schedule_id}")
    assert record.request_id == came["id"]


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ({"token_id": "t-1"}, "the token was revoked"),
        ({"subject": OWNER}, "what was issued to the subject before was revoked"),
        ({"sid": "login-1"}, "the login session has ended"),
    ],
)
def test_whoever_was_revoked_fires_nothing_until_they_enable_it_anew(
    tmp_path: Path, what: dict[str, str], reason: str
) -> None:
    with served_schedules(tmp_path) as at:
        schedule_id = at.made(
            cron_expr="0 9 1 1 *", headers=at.bearer(OWNER, jti="t-1", sid="login-1")
        )
        at.revoke(**what)
        assert_denied(at.trigger(schedule_id, headers=at.place.world.admin()), reason, 401)
        record = decided(at, schedule_id)
        assert (record.decision, record.rule, record.status) == ("deny", "token_revoked", 401)
        assert at.place.asked["say hello"] == 0
        seen = at.seen(schedule_id)
        assert (seen["enabled"], seen["next_run_at"]) == (False, None)
        assert reason in seen["disabled_reason"]
        # In the next second, so that the token is of later than what was revoked.
        over = time.time() + 3.1
        wait_for(lambda: time.time() > over, "the next second")
        fresh = at.bearer(OWNER, sid="login-2")
        assert at.ask("POST", f"/{schedule_id}/enable", headers=fresh).status_code == 200
        assert at.seen(schedule_id)["disabled_reason"] is None
        assert at.trigger(schedule_id, headers=fresh)["status"] == "success"
        assert decided(at, schedule_id, 2).decision == "allow"


def test_a_revocation_stops_the_run_that_a_schedule_has_begun(tmp_path: Path) -> None:
    with served_schedules(tmp_path) as at:
        schedule_id = at.made("hold long one two", headers=at.bearer(OWNER, jti="t-1"))
        fire = f"/schedules/{schedule_id}/trigger"
        with ThreadPoolExecutor() as threads:
            admin = at.place.world.admin()
            asking = threads.submit(lambda: at.client.post(fire, headers=admin).json())
            wait_for(lambda: at.place.asked["hold long one two"] == 1, "the run to work")
            at.revoke(token_id="t-1")
            came = asking.result()
    assert came["status"] == "cancelled"
    assert "the token was revoked" in came["error"]


def test_an_authority_counts_for_so_long_and_no_longer(tmp_path: Path) -> None:
    config = {"authority_ttl": timedelta(seconds=1)}
    with served_schedules(tmp_path, config=config) as at:
        schedule_id = at.made()
        over = time.monotonic() + 1.1
        wait_for(lambda: time.monotonic() > over, "the end of its authority")
        came = at.trigger(schedule_id)
        assert_denied(came, "the authority of the schedule has expired", 401)
        assert decided(at, schedule_id).rule == "authority_expired"
        assert not at.seen(schedule_id)["enabled"]
        at.ask("PATCH", f"/{schedule_id}", json={"description": "still wanted"})
        assert at.trigger(schedule_id)["status"] == "success"


def test_a_run_has_no_longer_authority_than_its_schedule(tmp_path: Path) -> None:
    with served_schedules(tmp_path) as at:
        schedule_id = at.made()
        came = at.trigger(schedule_id)
        job = asyncio.run(at.place.job(came["run_id"]))
        assert job is not None
        assert job.snapshot == at.stored(schedule_id).snapshot


def test_in_the_strict_mode_a_schedule_fires_for_as_long_as_the_token(tmp_path: Path) -> None:
    config = {"run_authority": "token", "leeway_seconds": 0}
    with served_schedules(tmp_path, config=config) as at:
        schedule_id = at.made(headers=at.bearer(OWNER, expires_in_seconds=4))
        assert at.trigger(schedule_id)["status"] == "success"
        over = time.time() + 4.1
        wait_for(lambda: time.time() > over, "the end of the token")
        assert_denied(at.trigger(schedule_id), "the token has expired", 401)


def test_a_token_that_expires_stops_no_schedule_otherwise(tmp_path: Path) -> None:
    with served_schedules(tmp_path, config={"leeway_seconds": 0}) as at:
        schedule_id = at.made(headers=at.bearer(OWNER, expires_in_seconds=3))
        over = time.time() + 3.1
        wait_for(lambda: time.time() > over, "the end of the token")
        assert at.trigger(schedule_id)["status"] == "success"


@pytest.mark.parametrize("scope", ["agents:run", "schedules:write"])
def test_authorizers_are_asked_again_about_both(tmp_path: Path, scope: str) -> None:
    moody = Moody()
    with served_schedules(tmp_path, authorizers=[moody]) as at:
        schedule_id = at.made()
        at.trigger(schedule_id)
        assert moody.asked[1:3] == [("schedules:write", schedule_id), ("agents:run", "alpha")]
        moody.denied = {scope}
        came = at.trigger(schedule_id)
        assert_denied(came, "not today", 403)
        record = decided(at, schedule_id, 2)
        assert (record.rule, record.action) == ("moody", scope)
        assert at.seen(schedule_id)["enabled"]


def test_an_authorizer_that_fails_is_a_denial(tmp_path: Path) -> None:
    moody = Moody()
    with served_schedules(tmp_path, authorizers=[moody]) as at:
        schedule_id = at.made()
        moody.fails = True
        came = at.trigger(schedule_id)
        assert (came["status"], came["status_code"], came["run_id"]) == ("failed", 503, None)
        assert decided(at, schedule_id).decision == "deny"
        assert at.create(name="another").status_code == 503
        assert at.ask("POST", f"/{schedule_id}/enable").status_code == 503


def test_nobody_schedules_what_they_may_not_run(tmp_path: Path) -> None:
    with served_schedules(tmp_path) as at:
        too_little = at.bearer(OWNER, "schedules:write", "agents:beta:run")
        answer = at.create(headers=too_little)
        assert answer.status_code == 403
        detail = "Insufficient permissions. Required scope(s): agents:run"
        assert answer.json() == {"detail": detail}
        # Also not an agent that there is not: nobody finds out which there are.
        assert at.create(headers=too_little, endpoint="/agents/x/runs").status_code == 403
        made = at.create(headers=too_little, endpoint="/agents/beta/runs")
        assert made.status_code == 201
        path = f"/{made.json()['id']}"
        to_alpha = {"endpoint": "/agents/alpha/runs"}
        assert at.ask("PATCH", path, json=to_alpha, headers=too_little).status_code == 403
        nothing = at.bearer(OWNER, "schedules:write")
        assert at.ask("POST", f"{path}/enable", headers=nothing).status_code == 403


def test_who_asks_for_what_they_may_not_run_is_in_the_trail(tmp_path: Path) -> None:
    with served_schedules(tmp_path) as at:
        at.create(headers=at.bearer(OWNER, "schedules:write"))
        trail = at.place.db.audit()

        def grants() -> list[AuditRecord]:
            found = asyncio.run(trail.find(AuditQuery(limit=100)))
            return [record for record in found if record.kind == "grant"]

        wait_for(lambda: bool(grants()), "the record")
        (record,) = grants()
    assert (record.decision, record.status, record.subject) == ("deny", 403, OWNER)


class FullOfSchedules:
    """A sink that has no room for decisions about schedules."""

    async def start(self) -> None:
        """There is nothing to get ready."""

    async def write(self, events: Sequence[AuditEvent]) -> None:
        if any(event.kind == "schedule" for event in events):
            raise OSError("no room")

    async def close(self) -> None:
        """There is nothing to give back."""


def test_what_cannot_be_recorded_does_not_fire(tmp_path: Path) -> None:
    audit = AuditConfig(
        database=False,
        sinks=[FullOfSchedules()],
        mode=AuditMode.BLOCKING,
        timeout_seconds=0.2,
    )
    with served_schedules(tmp_path, audit=audit) as at:
        schedule_id = at.made()
        came = at.trigger(schedule_id)
        assert_denied(came, "The decision could not be recorded; nothing was done", 503)
        assert at.place.asked["say hello"] == 0
        assert at.stored(schedule_id).enabled


def test_of_two_changes_at_once_the_second_hears_of_the_first(tmp_path: Path) -> None:
    moody = Moody()
    with served_schedules(tmp_path, authorizers=[moody]) as at:
        schedule_id = at.made()
        store = at.place.db.schedules(EVERYBODY)

        async def change() -> None:
            read = await store.get(schedule_id)
            assert read is not None
            changed = replace(read, name="first", updated_at_us=read.updated_at_us + 1)
            await store.save(changed, read_at_us=read.updated_at_us)

        moody.meanwhile = change
        second = at.ask("PATCH", f"/{schedule_id}", json={"name": "second"})
        assert second.status_code == 409
        assert "changed meanwhile" in second.json()["detail"]
        assert at.stored(schedule_id).name == "first"
        moody.meanwhile = lambda: store.delete(schedule_id)
        assert at.ask("POST", f"/{schedule_id}/enable").status_code == 404


def test_without_isolation_a_schedule_is_still_its_owners(tmp_path: Path) -> None:
    with served_schedules(tmp_path, user_isolation=False) as at:
        schedule_id = at.made()
        theirs = at.bearer("sten")
        assert at.ask("GET", headers=theirs).json()["data"] == []
        changed = at.ask("PATCH", f"/{schedule_id}", json={"name": "x"}, headers=theirs)
        assert changed.status_code == 404
        assert len(at.ask("GET", headers=at.place.world.admin()).json()["data"]) == 1


def test_what_was_made_while_authorization_was_off_fires_nothing(tmp_path: Path) -> None:
    with served_schedules(tmp_path) as at:
        at.store(schedule("open", id="open", owner="", agent_id="alpha", snapshot=None))
        assert at.ask("GET", "/open").status_code == 404
        admin = at.place.world.admin()
        came = at.trigger("open", headers=admin)
        assert_denied(came, "made while authorization was off", 401)
        record = decided(at, "open")
        assert (record.subject, record.credential) == (None, "none")


def test_a_service_account_has_schedules_that_end_with_it(tmp_path: Path) -> None:
    with served_schedules(tmp_path) as at:
        admin = at.place.world.bearer(ADMIN, "agent_os:admin")
        scopes = [{"scope": each} for each in ("schedules:write", "agents:run")]
        body = {"name": "robot", "scopes": scopes, "allow_privileged_scopes": True}
        account = at.client.post("/service-accounts", json=body, headers=admin).json()
        robot = {"Authorization": f"Bearer {account['token']}"}
        schedule_id = at.made(headers=robot)
        assert at.trigger(schedule_id, headers=robot)["status"] == "success"
        assert decided(at, schedule_id).credential == "service_account"
        gone = at.client.delete(f"/service-accounts/{account['id']}", headers=admin)
        assert gone.status_code == 204
        came = at.trigger(schedule_id, headers=admin)
        assert (came["status"], came["status_code"], came["run_id"]) == ("failed", 401, None)
        assert decided(at, schedule_id, 2).decision == "deny"
