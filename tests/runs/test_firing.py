from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from licet.authn.principal import Principal
from licet.db.base import Access
from licet.db.in_memory import InMemoryDb
from licet.db.records import RunStatus, SessionKey
from licet.db.schedule_records import ScheduleRecord, ScheduleRunRecord, ScheduleRunStatus
from licet.errors import StorageUnavailableError
from licet.runs.cron import CronEntry, Due
from licet.runs.firing import Firings, Refusal
from licet.runs.snapshot import Snapshot
from tests.contract.rows import ADMIN
from tests.contract.schedule_rows import made
from tests.support.firings import Clock, Ledger, LedgerRuns

COMPLETED, ERROR, PAUSED = RunStatus.COMPLETED, RunStatus.ERROR, RunStatus.PAUSED
SUCCESS, FAILED = ScheduleRunStatus.SUCCESS, ScheduleRunStatus.FAILED
PLANNED_US = 999_000_000


class Place:
    """A database with schedules, and one process that fires them."""

    def __init__(self) -> None:
        self.db = InMemoryDb()
        self.clock = Clock()
        self.ledger = Ledger(self.db)
        self.firings = self.process()

    def process(self) -> Firings:
        """One more process."""
        runs = LedgerRuns(self.ledger, now=self.clock.now)
        store = self.db.schedules(ADMIN)
        return Firings(store, runs, now=self.clock.now, pause=self.clock.pause)

    async def schedule(self, **values: Any) -> ScheduleRecord:
        """A schedule of Alice."""
        return await made(self.db, **{"snapshot": None, **values})

    async def fire(self, schedule: ScheduleRecord, **values: Any) -> ScheduleRunRecord | None:
        """Fire one that is due by the clock."""
        return await self.firings.fire(due(schedule, **values))

    async def attempts(self, schedule: ScheduleRecord) -> list[ScheduleRunRecord]:
        """What is stored of its firings, the oldest first."""
        page = await self.db.schedules(ADMIN).list_runs(schedule.id, page=1, limit=100)
        return list(reversed(page.runs))

    async def stored(self, schedule: ScheduleRecord) -> ScheduleRecord:
        """The schedule as it is now."""
        found = await self.db.schedules(ADMIN).get(schedule.id)
        assert found is not None
        return found


def due(schedule: ScheduleRecord, **values: Any) -> Due:
    entry = CronEntry(
        schedule_id=schedule.id, cron_expr=schedule.cron_expr, timezone=schedule.timezone
    )
    return Due(**{"schedule_id": schedule.id, "planned_us": PLANNED_US, "entry": entry, **values})


@pytest.fixture
def place() -> Place:
    return Place()


async def test_what_is_due_begins_a_run_and_is_followed_to_its_end(place: Place) -> None:
    schedule = await place.schedule()
    (attempt,) = [await place.fire(schedule)]
    assert attempt is not None
    assert (attempt.status, attempt.status_code, attempt.error) == (SUCCESS, 200, None)
    assert attempt.triggered_at_us == PLANNED_US
    assert attempt.completed_at_us == 1000_000_000
    assert [(each.id, each.run_id) for each in place.ledger.stored] == [
        (attempt.id, attempt.run_id)
    ]
    assert await place.attempts(schedule) == [attempt]


async def test_the_run_is_begun_in_the_session_that_is_asked_for(place: Place) -> None:
    asked = await place.schedule(payload={"message": "hi", "session_id": "mine"})
    attempt = await place.fire(asked)
    assert attempt is not None
    assert attempt.session_id == "mine"


async def test_without_one_it_is_begun_in_the_tokens_session_or_a_new_one(place: Place) -> None:
    principal = Principal(
        issuer_alias="default", issuer=None, subject="alice", scopes=(), session_id="claimed"
    )
    snapshot = Snapshot.of(principal, taken_at=1.0).to_json()
    claimed = await place.fire(await place.schedule(name="a", snapshot=snapshot))
    new = [await place.fire(await place.schedule(name=name)) for name in "bc"]
    assert claimed is not None
    assert claimed.session_id == "claimed"
    assert len({each.session_id for each in new if each is not None}) == 2


async def test_a_firing_that_is_repeated_begins_no_second_run(place: Place) -> None:
    schedule = await place.schedule()
    first = await place.fire(schedule)
    again = await place.process().fire(due(schedule))
    assert first == again
    assert len(place.ledger.stored) == len(place.ledger.decided) == 1
    await place.fire(schedule, planned_us=PLANNED_US + 60_000_000)
    assert len(place.ledger.stored) == 2


async def test_of_two_processes_that_fire_at_once_one_begins_the_run(place: Place) -> None:
    schedule = await place.schedule()
    both = await asyncio.gather(
        *(place.process().fire(due(schedule)) for _ in range(3)),
    )
    assert len({each.run_id for each in both if each is not None}) == 1
    assert len(place.ledger.stored) == 1
    assert len(await place.attempts(schedule)) == 1


@pytest.mark.parametrize(
    "changed",
    [{"enabled": False}, {"cron_expr": "1 9 * * *"}, {"timezone": "Europe/Berlin"}],
    ids=str,
)
async def test_a_clock_that_is_behind_fires_nothing(place: Place, changed: dict[str, Any]) -> None:
    schedule = await place.schedule(**changed)
    behind = replace(schedule, enabled=True, cron_expr="0 9 * * *", timezone="UTC")
    assert await place.fire(behind) is None
    assert await place.attempts(schedule) == []
    assert place.ledger.decided == []


async def test_what_somebody_asks_for_is_fired_also_where_it_is_disabled(place: Place) -> None:
    schedule = await place.schedule(enabled=False, cron_expr="")
    attempt = await place.fire(schedule, entry=None, asked_id="asked")
    assert attempt is not None
    assert attempt.status is SUCCESS


async def test_a_schedule_that_was_deleted_is_not_fired(place: Place) -> None:
    schedule = await place.schedule()
    await place.db.schedules(ADMIN).delete(schedule.id)
    assert await place.fire(schedule) is None


async def test_a_denial_is_what_came_of_it_and_begins_no_run(place: Place) -> None:
    schedule = await place.schedule(max_retries=3)
    place.ledger.refusals["alice"] = Refusal(reason="not any more", status=403)
    attempt = await place.fire(schedule)
    assert attempt is not None
    assert (attempt.status, attempt.status_code) == (FAILED, 403)
    assert (attempt.error, attempt.run_id, attempt.session_id) == ("not any more", None, None)
    assert attempt.completed_at_us == 1000_000_000
    assert await place.attempts(schedule) == [attempt]
    assert place.ledger.decided == [(attempt.id, "deny")]
    assert place.ledger.stored == []
    assert (await place.stored(schedule)).enabled


async def test_lost_authority_disables_the_schedule_which_says_why(place: Place) -> None:
    schedule = await place.schedule()
    place.ledger.refusals["alice"] = Refusal(reason="revoked", status=401, lost=True)
    await place.fire(schedule)
    disabled = await place.stored(schedule)
    assert (disabled.enabled, disabled.disabled_reason) == (False, "revoked")
    assert await place.fire(schedule, planned_us=PLANNED_US + 1) is None


async def test_a_schedule_that_was_given_new_authority_meanwhile_stays_enabled(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = await place.schedule()
    decide = place.ledger.decide

    def revoked_and_renewed(*asked: Any) -> Refusal | None:
        renewed = replace(schedule, updated_at_us=schedule.updated_at_us + 1)
        place.db._schedules.schedules[schedule.id] = renewed
        return decide(*asked)

    monkeypatch.setattr(place.ledger, "decide", revoked_and_renewed)
    place.ledger.refusals["alice"] = Refusal(reason="revoked", status=401, lost=True)
    await place.fire(schedule)
    assert (await place.stored(schedule)).enabled


async def test_a_run_that_cannot_be_begun_is_what_came_of_it(place: Place) -> None:
    schedule = await place.schedule(max_retries=1)
    place.ledger.impossible = [Refusal(reason="there is no such agent", status=404)]
    attempt = await place.fire(schedule)
    assert attempt is not None
    assert (attempt.status_code, attempt.error) == (404, "there is no such agent")
    assert len(await place.attempts(schedule)) == 1


async def test_a_run_that_fails_is_repeated_as_another_attempt(place: Place) -> None:
    schedule = await place.schedule(max_retries=2, retry_delay_seconds=30)
    place.ledger.ends = [ERROR, ERROR, COMPLETED]
    last = await place.fire(schedule)
    attempts = await place.attempts(schedule)
    assert [each.attempt for each in attempts] == [1, 2, 3]
    assert [each.status for each in attempts] == [FAILED, FAILED, SUCCESS]
    assert [each.error for each in attempts] == ["it went wrong", "it went wrong", None]
    assert last == attempts[-1]
    assert len({each.run_id for each in attempts}) == 3
    assert place.clock.waited == [30, 30]
    assert len(place.ledger.decided) == 3


async def test_it_is_repeated_as_often_as_it_says_and_no_more(place: Place) -> None:
    schedule = await place.schedule(max_retries=1)
    place.ledger.ends = [ERROR]
    await place.fire(schedule)
    assert [each.status for each in await place.attempts(schedule)] == [FAILED, FAILED]


async def test_what_is_revoked_between_two_attempts_is_not_repeated(place: Place) -> None:
    schedule = await place.schedule(max_retries=5, retry_delay_seconds=1)
    place.ledger.ends = [ERROR]
    gone = Refusal(reason="revoked", status=401, lost=True)
    place.clock.meanwhile = lambda: place.ledger.refusals.update(alice=gone)
    last = await place.fire(schedule)
    assert last is not None
    assert (last.attempt, last.error, last.run_id) == (2, "revoked", None)
    assert [word for _, word in place.ledger.decided] == ["allow", "deny"]


async def test_what_is_disabled_or_deleted_between_two_attempts_is_not_repeated(
    place: Place,
) -> None:
    place.ledger.ends = [ERROR]
    rows = place.db._schedules.schedules
    off, gone = [await place.schedule(name=name, max_retries=5) for name in "ab"]
    place.clock.meanwhile = lambda: rows.update({off.id: replace(off, enabled=False)})
    last = await place.fire(off)
    place.clock.meanwhile = rows.clear
    last_of_gone = await place.fire(gone)
    assert last is not None
    assert last_of_gone is not None
    assert (last.attempt, last_of_gone.attempt) == (1, 1)


async def test_a_run_whose_time_is_over_is_cancelled_and_has_failed(place: Place) -> None:
    schedule = await place.schedule(timeout_seconds=5)
    place.ledger.ends = [None]
    attempt = await place.fire(schedule)
    assert attempt is not None
    assert attempt.status is FAILED
    assert attempt.error == "The run was not done within 5 seconds"
    assert place.ledger.cancelled == ["The run was not done within 5 seconds"]
    assert 5 <= sum(place.clock.waited) < 7


async def test_a_run_that_somebody_cancels_is_cancelled_and_not_repeated(place: Place) -> None:
    schedule = await place.schedule(max_retries=3)
    place.ledger.ends = [RunStatus.CANCELLED]
    attempt = await place.fire(schedule)
    assert attempt is not None
    assert attempt.status is ScheduleRunStatus.CANCELLED
    assert len(await place.attempts(schedule)) == 1


async def test_a_run_that_waits_for_people_is_not_waited_for(place: Place) -> None:
    schedule = await place.schedule(timeout_seconds=5)
    place.ledger.ends = [PAUSED]
    attempt = await place.fire(schedule)
    assert attempt is not None
    assert attempt.status is ScheduleRunStatus.PAUSED
    assert attempt.completed_at_us is None
    assert place.ledger.cancelled == []


async def test_a_run_that_is_deleted_meanwhile_has_failed(place: Place) -> None:
    schedule = await place.schedule(payload={"session_id": "mine"})
    place.ledger.ends = [None]
    gone: list[asyncio.Task[int]] = []

    def delete() -> None:
        deleting = place.db.store(Access("alice")).delete_sessions([SessionKey("alice", "mine")])
        gone.append(asyncio.ensure_future(deleting))

    async def pause(seconds: float) -> None:
        await place.clock.pause(seconds)
        await asyncio.gather(*gone)

    place.clock.meanwhile = delete
    store, runs = place.db.schedules(ADMIN), LedgerRuns(place.ledger, now=place.clock.now)
    attempt = await Firings(store, runs, now=place.clock.now, pause=pause).fire(due(schedule))
    assert attempt is not None
    assert (attempt.status, attempt.error) == (FAILED, "The run was deleted before it had ended")


async def test_what_nobody_foresaw_is_what_came_of_it_without_its_text(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    schedule = await place.schedule()
    place.ledger.impossible = [ValueError("a secret")]
    attempt = await place.fire(schedule)
    assert attempt is not None
    assert (attempt.status, attempt.error) == (FAILED, "Internal error (ValueError)")
    assert "could not be fired" in caplog.text


async def test_a_database_that_is_away_is_waited_for(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("licet.runs.patience._TRY_AGAIN_SECONDS", 0.001)
    schedule = await place.schedule()
    place.ledger.impossible = [StorageUnavailableError("away"), StorageUnavailableError("away")]
    attempt = await place.fire(schedule)
    assert attempt is not None
    assert attempt.status is SUCCESS


async def test_a_denied_firing_that_is_repeated_is_not_decided_again(place: Place) -> None:
    schedule = await place.schedule()
    place.ledger.refusals["alice"] = Refusal(reason="no", status=403)
    first = await place.fire(schedule)
    place.ledger.refusals.clear()
    assert await place.fire(schedule) == first
    assert len(place.ledger.decided) == 1
    assert place.ledger.stored == []
