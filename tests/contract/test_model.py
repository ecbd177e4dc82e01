"""Any sequence of calls: every Db answers, and ends, as the plainest of them does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from licet.db.base import Access, Db, SessionChanges
from licet.db.in_memory import InMemoryDb
from licet.db.records import (
    RecentRuns,
    RunQuery,
    RunRecord,
    RunStatus,
    SessionKey,
    SessionQuery,
    SessionRecord,
)
from licet.db.run_states import FIRST
from licet.errors import LicetError
from tests.contract.conftest import KINDS
from tests.contract.rows import ADMIN, everything
from tests.support.examples import examples

OWNERS = ("", "alice", "bob")
IDS = ("s", "t", "%")

accesses = st.sampled_from([*map(Access, OWNERS), ADMIN])
keys = st.builds(SessionKey, st.sampled_from(OWNERS), st.sampled_from(IDS))
run_ids = st.sampled_from(["r1", "r2", "r3", "r4"])
components = st.sampled_from(["a", "b"])
types = st.sampled_from(["agent", "team"])
statuses = st.sampled_from(RunStatus)
first_statuses = st.sampled_from(sorted(FIRST))
moments = st.integers(0, 5)
states = st.dictionaries(st.sampled_from("xy"), st.integers(0, 3), max_size=2)
names = st.sampled_from(["Alpha", "alpha 2", "100%", "beta_"])


@dataclass(frozen=True)
class Call:
    """A method of a store, and what it is called with."""

    access: Access
    method: str
    arguments: tuple[Any, ...] = ()
    named: tuple[tuple[str, Any], ...] = ()


@st.composite
def sessions(draw: st.DrawFn, key: SessionKey) -> SessionRecord:
    return SessionRecord(
        owner=key.owner,
        session_id=key.session_id,
        session_type=draw(types),
        component_id=draw(st.none() | components),
        user_id=draw(st.none() | st.sampled_from(["u", "v"])),
        session_name=draw(st.none() | names),
        session_state=draw(states),
        metadata=draw(st.none() | states),
        created_at_us=draw(moments),
        updated_at_us=draw(moments),
    )


@st.composite
def runs(draw: st.DrawFn, key: SessionKey, status: st.SearchStrategy[RunStatus]) -> RunRecord:
    return RunRecord(
        owner=key.owner,
        session_id=key.session_id,
        run_id=draw(run_ids),
        component_id=draw(components),
        status=draw(status),
        body=b"%d" % draw(st.integers(0, 99)),
        total_tokens=draw(st.integers(0, 9)),
        created_at_us=draw(moments),
        updated_at_us=draw(moments),
    )


@st.composite
def calls(draw: st.DrawFn) -> Call:
    access, key = draw(accesses), draw(keys)
    optional = st.none() | moments
    made: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
        (
            "begin_run",
            (draw(sessions(key)), draw(runs(key, first_statuses | statuses))),
            {"history_runs": draw(st.integers(0, 3))},
        ),
        ("save_run", (draw(runs(key, statuses)),), {"session_state": draw(st.none() | states)}),
        (
            "pause_run",
            (draw(runs(key, st.just(RunStatus.PAUSED) | statuses)),),
            {"session_state": draw(st.none() | states), "job": None, "approvals": ()},
        ),
        (
            "continue_run",
            (draw(runs(key, st.just(RunStatus.RUNNING) | statuses)),),
            {"paused_at_us": draw(moments), "history_runs": draw(st.integers(0, 3))},
        ),
        ("get_run", (key, draw(run_ids)), {}),
        (
            "list_runs",
            (
                key,
                RunQuery(
                    component_id=draw(st.none() | components),
                    statuses=tuple(draw(st.sets(statuses, max_size=2))),
                    created_from_us=draw(optional),
                    created_to_us=draw(optional),
                ),
            ),
            {},
        ),
        (
            "recent_runs",
            (
                RecentRuns(
                    statuses=tuple(draw(st.sets(statuses, max_size=2))),
                    component_id=draw(st.none() | components),
                    session_id=draw(st.none() | st.sampled_from(IDS)),
                    limit=draw(st.integers(0, 3)),
                ),
            ),
            {},
        ),
        ("create_session", (draw(sessions(key)),), {}),
        ("find_sessions", (key.session_id,), {}),
        (
            "list_sessions",
            (
                SessionQuery(
                    session_type=draw(st.none() | types),
                    session_name=draw(st.none() | st.sampled_from(["A", "a", "%", "_"])),
                    session_ids=draw(st.none() | st.frozensets(st.sampled_from(IDS))),
                    sort_by=draw(st.sampled_from(["created_at", "updated_at", "session_name"])),
                    descending=draw(st.booleans()),
                    page=draw(st.integers(1, 3)),
                    limit=draw(st.integers(1, 3)),
                ),
            ),
            {},
        ),
        (
            "update_session",
            (
                key,
                SessionChanges(
                    session_name=draw(st.none() | names),
                    session_state=draw(st.none() | states),
                    summary=draw(st.none() | states),
                ),
            ),
            {"updated_at_us": draw(moments)},
        ),
        (
            "delete_sessions",
            (draw(st.lists(keys, max_size=3)),),
            {"session_type": draw(st.none() | types)},
        ),
        ("total_tokens", (key,), {}),
    ]
    method, arguments, named = draw(st.sampled_from(made))
    return Call(access, method, arguments, tuple(named.items()))


async def answer(db: Db, call: Call) -> object:
    try:
        found = await getattr(db.store(call.access), call.method)(
            *call.arguments, **dict(call.named)
        )
    except LicetError as error:
        return (type(error), str(error))
    return list(found) if isinstance(found, (list, tuple)) else found


async def empty(db: Db) -> None:
    page = await db.store(ADMIN).list_sessions(SessionQuery(limit=1000))
    await db.store(ADMIN).delete_sessions([s.key for s in page.sessions])


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "in_memory"])
@settings(
    max_examples=examples(0.6),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(sequence=st.lists(calls(), max_size=25))
async def test_every_sequence_of_calls_answers_as_in_memory(db: Db, sequence: list[Call]) -> None:
    await empty(db)
    model = InMemoryDb()
    for call in sequence:
        assert await answer(db, call) == await answer(model, call), call
    assert await everything(db) == await everything(model)
