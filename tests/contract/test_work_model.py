"""Any sequence of calls on runs and on the queue: every Db answers, and ends, as in memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from licet.db.base import Access, Db
from licet.db.in_memory import InMemoryDb
from licet.db.records import RunRecord, RunStatus, SessionKey, SessionQuery, SessionRecord
from licet.db.run_states import FIRST
from licet.db.sql_db import SqlDb
from licet.db.work_records import (
    ExecutorEnd,
    ExecutorRecord,
    JobRecord,
    Once,
    QueueLimits,
    RepeatedRequestError,
)
from licet.db.writes import Statement, Write
from licet.errors import LicetError
from tests.contract.conftest import KINDS
from tests.contract.pause_rows import EVERY_APPROVAL, approval, decision
from tests.contract.rows import ADMIN, everything
from tests.contract.work_rows import job_of
from tests.support.examples import examples

OWNERS = ("alice", "bob")
EXECUTORS = ("e", "f")
RUNS = ("r1", "r2", "r3", "r4")
AGENTS = ("a", "b")
UNSERVED_BEFORE_US = 2

owners = st.sampled_from(OWNERS)
accesses = st.sampled_from([*map(Access, OWNERS), ADMIN])
keys = st.builds(SessionKey, owners, st.sampled_from("st"))
run_ids = st.sampled_from(RUNS)
approval_ids = st.sampled_from("xyz")
executor_ids = st.sampled_from(EXECUTORS)
nobody_or_executor = st.none() | executor_ids
statuses = st.sampled_from(RunStatus)
first_statuses = st.sampled_from(sorted(FIRST))
moments = st.integers(0, 5)
states = st.none() | st.dictionaries(st.sampled_from("xy"), st.integers(0, 3), max_size=2)
limits = st.builds(
    QueueLimits,
    per_principal=st.none() | st.integers(0, 2),
    overall=st.none() | st.integers(0, 3),
    waiting=st.none() | st.integers(0, 3),
)
requests = st.none() | st.builds(
    Once,
    owner=owners,
    route=st.just("r"),
    key=st.sampled_from("kl"),
    digest=st.sampled_from("de"),
    created_at_us=moments,
)


@dataclass(frozen=True)
class Call:
    """A method, and what it is called with; without an access it is the server's own."""

    access: Access | None
    method: str
    arguments: tuple[Any, ...]
    named: dict[str, Any]


@st.composite
def runs(draw: st.DrawFn, status: st.SearchStrategy[RunStatus]) -> RunRecord:
    key = draw(keys)
    return RunRecord(
        owner=key.owner,
        session_id=key.session_id,
        run_id=draw(run_ids),
        component_id=draw(st.sampled_from(AGENTS)),
        status=draw(status),
        body=b"%d" % draw(st.integers(0, 99)),
        created_at_us=draw(moments),
        updated_at_us=draw(moments),
        executor_id=draw(nobody_or_executor),
        durable=draw(st.booleans()),
    )


@st.composite
def waiting_runs(draw: st.DrawFn) -> RunRecord:
    record = draw(runs(st.just(RunStatus.PENDING)))
    return replace(record, executor_id=None, durable=True)


def session_of(record: RunRecord) -> SessionRecord:
    return SessionRecord(
        owner=record.owner,
        session_id=record.session_id,
        created_at_us=record.created_at_us,
        updated_at_us=record.updated_at_us,
    )


@st.composite
def enqueueings(draw: st.DrawFn) -> Call:
    record = draw(waiting_runs())
    job = JobRecord(
        run_id=record.run_id,
        principal_key=draw(st.sampled_from("pq")),
        request=b"{}",
        snapshot=draw(st.none() | st.just(b"{}")),
        created_at_us=0,
    )
    named = {"limits": draw(limits), "once": draw(requests)}
    access = draw(st.sampled_from([Access(record.owner), ADMIN]))
    return Call(access, "enqueue_run", (session_of(record), record, job), named)


@st.composite
def beginnings(draw: st.DrawFn) -> Call:
    record = draw(runs(first_statuses | statuses))
    named = {"history_runs": draw(st.integers(0, 2)), "once": draw(requests)}
    return Call(draw(accesses), "begin_run", (session_of(record), record), named)


@st.composite
def pauses(draw: st.DrawFn) -> Call:
    record = draw(runs(st.just(RunStatus.PAUSED)))
    wanted = [
        approval(
            record,
            each,
            created_at_us=draw(moments),
            expires_at_us=draw(st.none() | moments),
            continues=draw(st.booleans()),
        )
        for each in sorted(draw(st.sets(approval_ids, max_size=2)))
    ]
    job = draw(st.none() | st.just(job_of(record)))
    named = {"session_state": draw(states), "job": job, "approvals": wanted}
    return Call(draw(accesses), "pause_run", (record,), named)


def call(
    access: st.SearchStrategy[Access] | None, method: str, *arguments: Any, **named: Any
) -> st.SearchStrategy[Call]:
    who = st.none() if access is None else access
    return st.builds(
        Call, who, st.just(method), st.tuples(*arguments), st.fixed_dictionaries(named)
    )


served = st.sets(st.sampled_from(AGENTS))
claims = call(
    None,
    "claim",
    executor_ids,
    agent_ids=served,
    unserved_before_us=moments,
    limits=limits,
    now_us=moments,
)
calls = st.one_of(
    enqueueings(),
    enqueueings(),
    beginnings(),
    claims,
    claims,
    call(accesses, "save_run", runs(statuses), session_state=states),
    call(accesses, "work_on_run", runs(st.just(RunStatus.RUNNING)), history_runs=st.integers(0, 2)),
    pauses(),
    call(
        accesses,
        "continue_run",
        runs(st.just(RunStatus.RUNNING)) | waiting_runs(),
        paused_at_us=moments,
        history_runs=st.integers(0, 2),
    ),
    call(
        None,
        "resolve",
        approval_ids,
        st.builds(decision, approved=st.booleans(), at_us=moments),
    ),
    call(None, "delete", approval_ids),
    call(accesses, "ask_to_cancel", keys, run_ids, now_us=moments),
    call(accesses, "find_run", run_ids),
    call(accesses, "delete_sessions", st.lists(keys, min_size=1, max_size=1)),
    call(None, "adopt", run_ids, old_executor_id=nobody_or_executor, executor_id=executor_ids),
    call(None, "put_back", run_ids, executor_id=executor_ids),
    call(None, "job", run_ids),
    call(None, "waiting"),
    call(None, "foreground_runs_of", nobody_or_executor),
    call(None, "durable_runs_of", executor_ids),
    call(None, "cancels_asked", executor_ids),
    call(
        None,
        "register_executor",
        st.builds(ExecutorRecord, id=executor_ids, started_at_us=moments, beats=moments),
    ),
    call(None, "beat", executor_ids),
    call(None, "executors"),
    call(
        None,
        "end_executor",
        executor_ids,
        end=st.sampled_from(ExecutorEnd),
        beats=st.none() | moments,
    ),
    call(None, "settle_executor", executor_ids),
    call(None, "forget_before", moments),
)


async def answer(db: Db, call: Call) -> object:
    store: Any = db.work() if call.access is None else db.store(call.access)
    if call.method in {"resolve", "delete"}:
        store = db.approvals()
    try:
        found = await getattr(store, call.method)(*call.arguments, **call.named)
    except RepeatedRequestError as error:
        return (error.first_key, error.first_run_id, error.same)
    except LicetError as error:
        return (type(error), str(error))
    return list(found) if isinstance(found, (list, tuple)) else found


async def end(db: Db) -> list[Any]:
    """All that can be seen of a database."""
    work = db.work()
    found: list[Any] = [await everything(db), list(await work.executors()), await work.waiting()]
    found += [await work.job(run_id) for run_id in RUNS]
    found.append(await db.approvals().list(EVERY_APPROVAL))
    for executor_id in EXECUTORS:
        found.append(list(await work.cancels_asked(executor_id)))
    return found


async def empty(db: Db) -> None:
    page = await db.store(ADMIN).list_sessions(SessionQuery(limit=1000))
    await db.store(ADMIN).delete_sessions([s.key for s in page.sessions])
    assert isinstance(db, SqlDb)
    await db.write(Write(("", ""), (Statement("DELETE FROM licet_executors", ()),), lambda _: None))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "in_memory"])
@settings(
    max_examples=examples(1),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(sequence=st.lists(calls, min_size=5, max_size=40))
async def test_every_sequence_of_calls_answers_as_in_memory(db: Db, sequence: list[Call]) -> None:
    await empty(db)
    model = InMemoryDb()
    for one in sequence:
        assert await answer(db, one) == await answer(model, one), one
    assert await end(db) == await end(model)


@settings(max_examples=examples(2))
@given(sequence=st.lists(calls, min_size=5, max_size=40), most=limits, agent_ids=served)
async def test_a_claim_is_of_the_oldest_run_that_may_work(
    sequence: list[Call], most: QueueLimits, agent_ids: set[str]
) -> None:
    db = InMemoryDb()
    for one in sequence:
        await answer(db, one)
    rows = [row for row in await everything(db) if isinstance(row, RunRecord) and row.durable]
    jobs = {row.run_id: await db.work().job(row.run_id) for row in rows}

    def may_work(row: RunRecord) -> bool:
        job = jobs[row.run_id]
        if row.status is not RunStatus.PENDING or job is None:
            return False
        busy = [other for other in rows if other.status is RunStatus.RUNNING]
        of_them = [jobs[other.run_id] for other in busy]
        theirs = [o for o in of_them if o is not None and o.principal_key == job.principal_key]
        place = (row.created_at_us, row.run_id)
        return (
            (row.component_id in agent_ids or row.updated_at_us < UNSERVED_BEFORE_US)
            and all(other.session_key != row.session_key for other in busy)
            and not any(
                other.session_key == row.session_key
                and other.status is RunStatus.PENDING
                and (other.created_at_us, other.run_id) < place
                for other in rows
            )
            and (most.overall is None or len(busy) < most.overall)
            and (most.per_principal is None or len(theirs) < most.per_principal)
        )

    free = sorted((row.created_at_us, row.run_id) for row in rows if may_work(row))
    found = await db.work().claim(
        "new",
        agent_ids=agent_ids,
        unserved_before_us=UNSERVED_BEFORE_US,
        limits=most,
        now_us=9,
    )
    assert (None if found is None else found.run.run_id) == (free[0][1] if free else None)
