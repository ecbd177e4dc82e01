"""Any sequence of pauses, decisions and what comes between: every Db does as a plain model."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from licet.db.approval_records import (
    ApprovalQuery,
    ApprovalRecord,
    ApprovalStatus,
    Deleting,
    FoundApproval,
    Resolution,
)
from licet.db.base import Access, Db
from licet.db.records import RunRecord, RunStatus, Saving, SessionKey
from licet.db.run_states import ENDED
from licet.errors import ConflictError
from tests.contract.pause_rows import approval
from tests.contract.rows import ADMIN, run, session
from tests.contract.work_rows import claimed_id, job_of
from tests.support.examples import examples

PENDING, RUNNING, PAUSED, COMPLETED, CANCELLED, ERROR = RunStatus
SESSIONS = {
    "r1": SessionKey("alice", "s"),
    "r2": SessionKey("alice", "s"),
    "r3": SessionKey("bob", "s"),
}
APPROVALS = "abcd"
CREATED = {run_id: place for place, run_id in enumerate(SESSIONS)}

SAVED_AS = {
    PENDING: {RUNNING, CANCELLED, ERROR},
    RUNNING: {RUNNING, PAUSED, COMPLETED, CANCELLED, ERROR},
    PAUSED: {CANCELLED, ERROR},
}


@dataclass(frozen=True)
class Step:
    """What is done, to a model and to a Db."""

    method: str
    arguments: tuple[Any, ...]
    named: dict[str, Any] = field(default_factory=dict)

    async def done(self, of: Model | Real) -> object:
        return await getattr(of, self.method)(*self.arguments, **self.named)


@dataclass
class Model:
    """What is stored, and what may come of it: as plainly as it can be said."""

    runs: dict[str, RunRecord] = field(default_factory=dict)
    jobs: set[str] = field(default_factory=set)
    asked: set[str] = field(default_factory=set)
    approvals: dict[str, ApprovalRecord] = field(default_factory=dict)

    def reached(self, access: Access, record: RunRecord) -> RunRecord | None:
        found = self.runs.get(record.run_id)
        return found if found is not None and access.reaches(found.owner) else None

    def of(self, run_id: str) -> list[ApprovalRecord]:
        return [each for each in self.approvals.values() if each.run_id == run_id]

    def waits(self, run_id: str) -> bool:
        return any(each.resolution is None for each in self.of(run_id))

    async def begin(self, record: RunRecord) -> object:
        if record.run_id in self.runs:
            return ConflictError
        self.runs[record.run_id] = record
        return True

    async def pause(
        self, access: Access, record: RunRecord, *, has_job: bool, wanted: list[ApprovalRecord]
    ) -> object:
        before = self.reached(access, record)
        if before is None:
            return Saving.ABSENT
        is_theirs = before.executor_id == record.executor_id
        if before.status is not RUNNING or not is_theirs or record.run_id in self.asked:
            return Saving.REFUSED
        if any(each.id in self.approvals for each in wanted):
            return ConflictError
        now = record.updated_at_us
        self.runs[record.run_id] = replace(
            before, status=PAUSED, executor_id=None, updated_at_us=now, body=record.body
        )
        if has_job:
            self.jobs.add(record.run_id)
        self.approvals |= {each.id: each for each in wanted}
        return Saving.SAVED

    async def go_on(self, access: Access, record: RunRecord, *, paused_at_us: int) -> object:
        before = self.reached(access, record)
        if before is None or before.status is not PAUSED or self.waits(record.run_id):
            return False
        if before.updated_at_us != paused_at_us:
            return False
        if record.status is PENDING and record.run_id not in self.jobs:
            return False
        self.runs[record.run_id] = replace(record, created_at_us=before.created_at_us)
        return True

    async def save(self, access: Access, record: RunRecord) -> object:
        before = self.reached(access, record)
        if before is None:
            return Saving.ABSENT
        is_theirs = before.executor_id == record.executor_id
        if not is_theirs or record.status not in SAVED_AS.get(before.status, ()):
            return Saving.REFUSED
        now = record.updated_at_us
        self.runs[record.run_id] = replace(
            before, status=record.status, updated_at_us=now, body=record.body
        )
        return Saving.SAVED

    async def ask(self, access: Access, record: RunRecord) -> object:
        before = self.reached(access, record)
        if before is None or before.status is not RUNNING:
            return False
        self.asked.add(record.run_id)
        return True

    async def resolve(self, approval_id: str, resolution: Resolution) -> object:
        found, now = self.approvals.get(approval_id), resolution.at_us
        if found is None or found.resolution is not None:
            return False
        before = self.runs[found.run_id]
        if before.status is not PAUSED:
            return False
        if found.expires_at_us is not None and found.expires_at_us <= now:
            return False
        self.approvals[approval_id] = replace(found, resolution=resolution)
        goes_on = found.continues and before.durable and before.run_id in self.jobs
        if goes_on and not self.waits(before.run_id):
            self.runs[before.run_id] = replace(before, status=PENDING, updated_at_us=now)
        return True

    async def delete(self, approval_id: str) -> object:
        found = self.approvals.get(approval_id)
        if found is None:
            return Deleting.ABSENT
        if self.runs[found.run_id].status not in ENDED:
            return Deleting.REFUSED
        del self.approvals[approval_id]
        return Deleting.DELETED

    async def claim(self, executor_id: str, now_us: int) -> object:
        durable = [self.runs[each] for each in sorted(self.runs) if self.runs[each].durable]
        busy = {each.session_key for each in durable if each.status is RUNNING}
        for each in durable:
            if each.status is PENDING and each.session_key not in busy:
                self.runs[each.run_id] = replace(
                    each, status=RUNNING, executor_id=executor_id, updated_at_us=now_us
                )
                return each.run_id
        return None

    async def drop(self, key: SessionKey) -> object:
        gone = {each.run_id for each in self.runs.values() if each.session_key == key}
        self.runs = {name: each for name, each in self.runs.items() if name not in gone}
        self.jobs -= gone
        self.asked -= gone
        kept = self.approvals.items()
        self.approvals = {name: each for name, each in kept if each.run_id not in gone}
        return None

    async def listed(self, status: ApprovalStatus, now_us: int) -> object:
        stands = [
            each.id
            for each in self.approvals.values()
            if self.found(each).status(now_us=now_us) is status
        ]
        return sorted(stands)

    def found(self, each: ApprovalRecord) -> FoundApproval:
        return FoundApproval(approval=each, run_status=self.runs[each.run_id].status)


@dataclass
class Real:
    """The same of a Db."""

    db: Db

    async def begin(self, record: RunRecord) -> object:
        of = session(record.session_id, owner=record.owner)
        try:
            await self.db.store(ADMIN).begin_run(of, record, history_runs=0)
        except ConflictError:
            return ConflictError
        return True

    async def pause(
        self, access: Access, record: RunRecord, *, has_job: bool, wanted: list[ApprovalRecord]
    ) -> object:
        job = job_of(record) if has_job else None
        try:
            return await self.db.store(access).pause_run(
                record, session_state=None, job=job, approvals=wanted
            )
        except ConflictError:
            return ConflictError

    async def go_on(self, access: Access, record: RunRecord, *, paused_at_us: int) -> object:
        begun = await self.db.store(access).continue_run(
            record, paused_at_us=paused_at_us, history_runs=0
        )
        return begun is not None

    async def save(self, access: Access, record: RunRecord) -> object:
        return await self.db.store(access).save_run(record, session_state=None)

    async def ask(self, access: Access, record: RunRecord) -> object:
        return await self.db.store(access).ask_to_cancel(
            record.session_key, record.run_id, now_us=1
        )

    async def resolve(self, approval_id: str, resolution: Resolution) -> object:
        return await self.db.approvals().resolve(approval_id, resolution)

    async def delete(self, approval_id: str) -> object:
        return await self.db.approvals().delete(approval_id)

    async def claim(self, executor_id: str, now_us: int) -> object:
        return await claimed_id(self.db, executor_id, now_us=now_us)

    async def drop(self, key: SessionKey) -> object:
        await self.db.store(ADMIN).delete_sessions([key])
        return None

    async def listed(self, status: ApprovalStatus, now_us: int) -> object:
        query = ApprovalQuery(now_us=now_us, status=status)
        page = await self.db.approvals().list(query)
        return sorted(each.approval.id for each in page.approvals)

    async def model(self) -> Model:
        """What is stored, as a model."""
        found = [await self.db.store(ADMIN).find_run(run_id) for run_id in SESSIONS]
        kept = [await self.db.approvals().of_run(run_id) for run_id in SESSIONS]
        jobs = {name for name in SESSIONS if await self.db.work().job(name) is not None}
        return Model(
            runs={each.run_id: each for each in found if each is not None},
            jobs=jobs,
            approvals={each.id: each for of_run in kept for each in of_run},
        )


moments = st.integers(1, 4)
accesses = st.sampled_from([ADMIN, ADMIN, Access("alice"), Access("bob")])
executors = st.sampled_from(["e", "e", "e", "f"])
# Those that end may have paused, when nobody works on them.
executors_of = {each: st.none() | executors if each in ENDED else executors for each in RunStatus}
run_ids = st.sampled_from(list(SESSIONS))
ids = st.sampled_from(APPROVALS)


@st.composite
def records(draw: st.DrawFn, *status: RunStatus) -> RunRecord:
    run_id, reached = draw(run_ids), draw(st.sampled_from(status))
    waits = reached is PENDING
    return run(
        SESSIONS[run_id].session_id,
        owner=SESSIONS[run_id].owner,
        run_id=run_id,
        status=reached,
        body=b"%d" % draw(st.integers(0, 99)),
        created_at_us=CREATED[run_id],
        updated_at_us=draw(moments),
        executor_id=None if waits else draw(executors_of[reached]),
        durable=waits or draw(st.sampled_from([True, True, False])),
    )


@st.composite
def pauses(draw: st.DrawFn) -> Step:
    access, record, has_job = draw(accesses), draw(records(PAUSED)), draw(st.booleans())
    wanted = [
        approval(
            record,
            each,
            created_at_us=draw(moments),
            expires_at_us=draw(st.none() | moments),
            continues=draw(st.booleans()),
        )
        for each in sorted(draw(st.sets(ids, max_size=2)))
    ]
    return Step("pause", (access, record), {"has_job": has_job, "wanted": wanted})


def step(method: str, *arguments: Any, **named: Any) -> st.SearchStrategy[Step]:
    return st.builds(Step, st.just(method), st.tuples(*arguments), st.fixed_dictionaries(named))


resolutions = st.builds(
    Resolution, approved=st.booleans(), by=st.just("m"), by_owner=st.none(), at_us=moments
)
beginnings = step("begin", records(RUNNING))
goings_on = step("go_on", accesses, records(RUNNING, PENDING), paused_at_us=moments)
decisions = step("resolve", ids, resolutions)
claims = step("claim", executors, moments)
steps = st.one_of(
    beginnings,
    pauses(),
    pauses(),
    goings_on,
    goings_on,
    decisions,
    decisions,
    claims,
    step("save", accesses, records(*RunStatus)),
    step("ask", accesses, records(RUNNING)),
    step("delete", ids),
    step("listed", st.sampled_from(ApprovalStatus), moments),
    step("drop", st.sampled_from(list(SESSIONS.values()))),
)


@settings(
    max_examples=examples(1.5),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(first=st.lists(beginnings, max_size=3), sequence=st.lists(steps, max_size=40))
async def test_every_sequence_comes_to_what_the_model_says(
    db: Db, first: list[Step], sequence: list[Step]
) -> None:
    real, model = Real(db), Model()
    for key in set(SESSIONS.values()):
        await real.drop(key)
    for one in (*first, *sequence):
        assert await one.done(real) == await one.done(model), one
    assert await real.model() == replace(model, asked=set())
    asked = {each for e in "ef" for each in await db.work().cancels_asked(e)}
    running = {name for name, each in model.runs.items() if each.status is RUNNING}
    assert asked == model.asked & running
