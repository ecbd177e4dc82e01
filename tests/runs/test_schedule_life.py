"""Owners change schedules, processes fire them and die, authority comes and goes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar, cast

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from licet.db.in_memory import InMemoryDb
from licet.db.records import RunStatus
from licet.db.schedule_base import ScheduleStore
from licet.db.schedule_records import ScheduleQuery, ScheduleRecord, ScheduleRunStatus
from licet.runs.cron import Due
from licet.runs.durable import DurableRuns
from licet.runs.firing import Firings, Refusal
from licet.runs.schedule_clock import ScheduleClock
from tests.contract.rows import ADMIN, tick
from tests.contract.schedule_rows import MANY, made
from tests.support.cron import InMemoryCron
from tests.support.engine import Died, Process
from tests.support.examples import examples
from tests.support.firings import Clock, Ledger, LedgerRuns, MortalSchedules

T = TypeVar("T")

OWNERS = ("alice", "bob")
REVOKED = Refusal(reason="revoked", status=401, lost=True)
DENIED = Refusal(reason="denied", status=403)

# At which write a process dies, and whether that is stored.
deaths = st.fixed_dictionaries({"dies_at": st.none() | st.integers(0, 8), "stored": st.booleans()})


class _Launched:
    """An engine that is at work."""

    launched = True

    def __init__(self) -> None:
        self.cron = InMemoryCron()

    async def ready(self) -> _Launched:
        return self


class ScheduleLife(RuleBasedStateMachine):
    schedules: Bundle[str] = Bundle("schedules")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.db = InMemoryDb()
        self.clock = Clock()
        self.ledger = Ledger(self.db)
        self.engine = _Launched()
        self.store = self.db.schedules(ADMIN)
        self.planned_us = 1_000_000
        self.left: list[Due] = []
        self.fired: list[Due] = []

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    async def read(self, schedule_id: str) -> ScheduleRecord | None:
        return await self.store.get(schedule_id)

    def change(self, schedule_id: str, **values: Any) -> None:
        read = self.do(self.read(schedule_id))
        if read is not None:
            changed = replace(read, updated_at_us=read.updated_at_us + 1, **values)
            self.do(self.store.save(changed, read_at_us=read.updated_at_us))

    @rule(target=schedules, owner=st.sampled_from(OWNERS), retries=st.integers(0, 2))
    def create(self, owner: str, retries: int) -> str:
        values = {"snapshot": None, "max_retries": retries, "retry_delay_seconds": 1}
        return self.do(made(self.db, str(tick()), owner=owner, **values)).id

    @rule(schedule_id=schedules)
    def disable(self, schedule_id: str) -> None:
        self.change(schedule_id, enabled=False)

    @rule(schedule_id=schedules)
    def enable(self, schedule_id: str) -> None:
        self.change(schedule_id, enabled=True, disabled_reason=None)

    @rule(schedule_id=schedules, cron_expr=st.sampled_from(["0 9 * * *", "5 5 * * *", ""]))
    def change_times(self, schedule_id: str, cron_expr: str) -> None:
        self.change(schedule_id, cron_expr=cron_expr)

    @rule(schedule_id=consumes(schedules))
    def delete(self, schedule_id: str) -> None:
        self.do(self.store.delete(schedule_id))

    @rule(owner=st.sampled_from(OWNERS), refusal=st.sampled_from([REVOKED, DENIED, None]))
    def decide_otherwise(self, owner: str, refusal: Refusal | None) -> None:
        self.ledger.refusals.pop(owner, None)
        if refusal is not None:
            self.ledger.refusals[owner] = refusal

    @rule(status=st.sampled_from([RunStatus.COMPLETED, RunStatus.ERROR, RunStatus.CANCELLED]))
    def runs_will_end_as(self, status: RunStatus) -> None:
        self.ledger.ends = [status]

    @rule()
    def set_the_clock(self) -> None:
        runs = cast("DurableRuns", self.engine)
        self.do(ScheduleClock(self.db, self.store, runs=runs).set())
        assert set(self.engine.cron.kept) == self.do(self.timed())

    async def timed(self) -> set[str]:
        return {each.id for each in await self.store.timed()}

    @rule(processes=st.integers(1, 3), death=deaths)
    def strike_at_once(self, processes: int, death: dict[str, Any]) -> None:
        self.set_the_clock()
        self.strike(processes, death)

    @rule(processes=st.integers(1, 3), death=deaths)
    def strike(self, processes: int, death: dict[str, Any]) -> None:
        """The clock may be behind what owners have changed."""
        self.planned_us += 60_000_000
        self.clock.seconds += 60
        dues = [
            Due(schedule_id=entry.schedule_id, planned_us=self.planned_us, entry=entry)
            for entry in self.engine.cron.kept.values()
        ]
        for due in dues:
            is_wanted = self.do(self.is_wanted(due))
            others = [Process(seed=seed) for seed in range(processes - 1)]
            died = self.do(self.fire_at_once(due, [Process(**death), *others]))
            assert died or self.do(self.came_to_something(due)) is is_wanted

    async def is_wanted(self, due: Due) -> bool:
        """Whether the clock is right about it."""
        read, entry = await self.store.get(due.schedule_id), due.entry
        assert entry is not None
        return read is not None and read.enabled and read.cron_expr == entry.cron_expr

    async def came_to_something(self, due: Due) -> bool:
        attempts = (await self.store.list_runs(due.schedule_id, page=1, limit=MANY)).runs
        return due.planned_us in {attempt.triggered_at_us for attempt in attempts}

    @rule(schedule_id=schedules)
    def trigger(self, schedule_id: str) -> None:
        self.planned_us += 1
        asked = Due(
            schedule_id=schedule_id, planned_us=self.planned_us, asked_id=str(self.planned_us)
        )
        self.do(self.fire_at_once(asked, [Process()]))

    async def fire_at_once(self, due: Due, processes: list[Process]) -> bool:
        """Whether all of the processes died of it."""
        lived = await asyncio.gather(*(self.fire_in(due, process) for process in processes))
        (self.fired if any(lived) else self.left).append(due)
        return not any(lived)

    async def fire_in(self, due: Due, process: Process) -> bool:
        """Whether the process has lived to the end of the firing."""
        store = cast("ScheduleStore", MortalSchedules(self.store, process))
        runs = LedgerRuns(self.ledger, process, now=self.clock.now)
        firings = Firings(store, runs, now=self.clock.now, pause=self.clock.pause)
        with suppress(Died):
            await firings.fire(due)
            return True
        return False

    @rule()
    def go_on_with_what_the_dead_left(self) -> None:
        left, self.left = self.left, []
        for due in left:
            self.do(self.fire_at_once(due, [Process()]))

    @rule()
    def fire_again_what_was_fired(self) -> None:
        for due in self.fired[-3:]:
            self.do(self.fire_in(due, Process()))

    @invariant()
    def an_attempt_has_one_run_at_most(self) -> None:
        stored = self.ledger.stored
        times = Counter((each.schedule_id, each.triggered_at_us, each.attempt) for each in stored)
        assert all(count == 1 for count in times.values()), times

    @invariant()
    def nothing_was_begun_under_lost_authority(self) -> None:
        assert self.ledger.unlawful == []

    @invariant()
    def each_run_was_decided_and_written_down_before(self) -> None:
        allowed = {attempt_id for attempt_id, word in self.ledger.decided if word == "allow"}
        assert {attempt.id for attempt in self.ledger.stored} <= allowed

    def teardown(self) -> None:
        try:
            self.go_on_with_what_the_dead_left()
            self.do(self.all_came_to_something())
        finally:
            self.loop.close()

    async def all_came_to_something(self) -> None:
        begun = {attempt.id: attempt.run_id for attempt in self.ledger.stored}
        page = await self.store.list_schedules(ScheduleQuery(limit=MANY))
        for schedule in page.schedules:
            attempts = (await self.store.list_runs(schedule.id, page=1, limit=MANY)).runs
            for attempt in attempts:
                assert attempt.status is not ScheduleRunStatus.RUNNING
                assert attempt.run_id == begun.get(attempt.id)
                assert attempt.run_id is not None or (attempt.id, "deny") in self.ledger.decided


TestScheduleLife = ScheduleLife.TestCase
TestScheduleLife.settings = settings(max_examples=examples(1.5), stateful_step_count=30)
