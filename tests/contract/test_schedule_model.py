"""Any sequence of calls on schedules: every Db answers, and ends, as in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from licet.db.base import Access, Db
from licet.db.in_memory import InMemoryDb
from licet.db.schedule_records import ScheduleQuery
from licet.errors import LicetError
from tests.contract.conftest import KINDS
from tests.contract.rows import ADMIN
from tests.contract.schedule_rows import MANY, attempt, outcome, schedule
from tests.support.examples import examples

OWNERS = ("alice", "bob")

owners = st.sampled_from(OWNERS)
accesses = st.sampled_from([*map(Access, OWNERS), ADMIN])
ids = st.sampled_from(["1", "2", "3"])
moments = st.integers(0, 3)
schedules = st.builds(
    schedule,
    st.sampled_from("mn"),
    id=ids,
    owner=owners,
    enabled=st.booleans(),
    cron_expr=st.sampled_from(["", "0 9 * * *"]),
    created_at_us=moments,
    updated_at_us=moments,
)
attempts = st.builds(
    attempt,
    st.builds(schedule, id=ids, owner=owners),
    id=st.sampled_from("ab"),
    attempt=st.integers(1, 2),
    at=st.integers(1, 4),
) | st.builds(
    lambda of, attempt_id, at: attempt(of, id=attempt_id, **outcome(completed_at_us=at)),
    st.builds(schedule, id=ids, owner=owners),
    st.sampled_from("ab"),
    moments,
)
pages = st.fixed_dictionaries({"page": st.integers(0, 2), "limit": st.integers(0, 3)})


@dataclass(frozen=True)
class Call:
    """A method, on whose behalf it is called, and what with."""

    access: Access
    method: str
    arguments: tuple[Any, ...] = ()
    named: dict[str, Any] = field(default_factory=dict)


def calls(method: str, *arguments: Any, **named: Any) -> st.SearchStrategy[Call]:
    given_named = st.fixed_dictionaries({**named})
    return st.builds(Call, accesses, st.just(method), st.tuples(*arguments), given_named)


everything = st.one_of(
    calls("create", schedules, limit=st.integers(1, 3)),
    calls("save", schedules, read_at_us=moments),
    calls("delete", ids),
    calls("get", ids),
    calls("timed"),
    calls(
        "list_schedules",
        st.builds(
            ScheduleQuery,
            enabled=st.none() | st.booleans(),
            ids=st.none() | st.frozensets(ids),
            page=st.integers(0, 2),
            limit=st.integers(0, 3),
        ),
    ),
    calls("begin_run", attempts),
    calls("end_run", attempts),
    calls("get_run", ids, st.sampled_from("ab")),
    st.builds(Call, accesses, st.just("list_runs"), st.tuples(ids), pages),
)


async def answer(db: Db, call: Call) -> object:
    try:
        return await getattr(db.schedules(call.access), call.method)(*call.arguments, **call.named)
    except LicetError as error:
        return type(error)


async def all_rows(db: Db) -> list[object]:
    store = db.schedules(ADMIN)
    page = await store.list_schedules(ScheduleQuery(limit=MANY))
    runs = [await store.list_runs(each.id, page=1, limit=MANY) for each in page.schedules]
    return [page, *runs]


async def forget_everything(db: Db) -> None:
    for each in ("1", "2", "3"):
        await db.schedules(ADMIN).delete(each)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "in_memory"])
@settings(
    max_examples=examples(0.6),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(sequence=st.lists(everything, max_size=25))
async def test_every_sequence_of_calls_answers_as_in_memory(db: Db, sequence: list[Call]) -> None:
    await forget_everything(db)
    model = InMemoryDb()
    for call in sequence:
        assert await answer(db, call) == await answer(model, call), call
    assert await all_rows(db) == await all_rows(model)
