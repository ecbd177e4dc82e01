"""Any sequence of changes: every Db does what the plainest does, and who follows misses nothing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from licet.db.base import Db
from licet.db.in_memory import InMemoryDb
from licet.db.trust_records import (
    RevocationKind,
    RevocationQuery,
    RevocationRecord,
    ServiceAccountQuery,
    ServiceAccountRecord,
    TrustChanges,
)
from licet.errors import LicetError
from tests.contract.conftest import KINDS, MakeDb
from tests.contract.trust_rows import account, everything, forget_everything, revocation, rotation
from tests.support.examples import examples

# Each new row brings an id that no other has: the examples are about names, values and times.
_ids = st.uuids(version=4).map(str)

ids = st.sampled_from(["1", "2", "3"])
moments = st.integers(0, 5)
kinds = st.sampled_from([RevocationKind.TOKEN, RevocationKind.SUBJECT])
values = st.sampled_from(["t", "u"])
names = st.sampled_from(["a", "B", "é"])
revocations = st.builds(
    revocation,
    values,
    id=_ids,
    kind=kinds,
    subject=st.none() | st.sampled_from(["s", "z"]),
    issued_before_us=moments,
    expires_at_us=moments,
    created_at_us=moments,
    reason=st.none() | st.just("why"),
)
optional = st.none() | moments


@dataclass(frozen=True)
class Call:
    """A method of a trust store, and what it is called with. Ids stand for those that were made."""

    method: str
    arguments: tuple[Any, ...] = ()
    named: dict[str, Any] = field(default_factory=dict)


accounts = st.builds(
    account,
    names,
    id=ids,
    token_digest=st.sampled_from("de"),
    created_at_us=moments,
    expires_at_us=optional,
    last_used_at_us=optional,
)
rotations = st.builds(
    rotation,
    token_digest=st.sampled_from("def"),
    token_prefix=st.just("p"),
    expires_at_us=optional,
    rotator_subject=st.none() | st.sampled_from(["s", "z"]),
    rotator_issued_at_us=moments,
    old_expires_at_us=moments,
    now_us=moments,
)


def calls(method: str, *arguments: Any, **named: Any) -> st.SearchStrategy[Call]:
    return st.builds(Call, st.just(method), st.tuples(*arguments), st.fixed_dictionaries({**named}))


changes = st.one_of(
    calls("add_revocations", st.lists(revocations, max_size=3)),
    calls("use_once", revocations, st.lists(revocations, max_size=2)),
    calls("delete_revocation", ids, deleted_at_us=moments),
    calls("create_service_account", accounts),
    st.builds(Call, st.just("rotate_service_account"), st.tuples(ids), rotations),
    calls("end_service_token", ids, token_digest=st.sampled_from("def")),
    calls("revoke_service_account", ids, revoked_at_us=moments),
    calls("touch_service_account", ids, last_used_at_us=moments),
)
questions = st.one_of(
    calls("forget_expired", now_us=moments),
    calls("get_service_account", ids),
    calls("find_service_account", st.sampled_from("def")),
    calls(
        "list_revocations",
        st.builds(
            RevocationQuery,
            now_us=moments,
            kind=st.none() | kinds,
            value=st.none() | values,
            page=st.integers(0, 3),
            limit=st.integers(0, 3),
        ),
    ),
    calls(
        "list_service_accounts",
        st.builds(
            ServiceAccountQuery,
            include_revoked=st.booleans(),
            ids=st.none() | st.frozensets(ids),
            sort_by=st.sampled_from(["created_at", "name", "last_used_at", "expires_at"]),
            descending=st.booleans(),
            page=st.integers(0, 3),
            limit=st.integers(0, 3),
        ),
    ),
)


async def answer(db: Db, call: Call) -> object:
    arguments = call.arguments
    if call.method == "delete_revocation":
        # The id of whatever stands at that place.
        known = sorted(r.id for r in (await everything(db)).revocations)
        place = int(arguments[0]) - 1
        arguments = (known[place] if place < len(known) else "unknown",)
    try:
        found = await getattr(db.trust(), call.method)(*arguments, **call.named)
    except LicetError as error:
        return type(error)
    return without_numbers(found)


def without_numbers(found: Any) -> Any:
    """Numbers depend on what was stored before; their order is another property's."""
    if isinstance(found, (list, tuple)):
        return [without_numbers(row) for row in found]
    if isinstance(found, (RevocationRecord, ServiceAccountRecord)):
        return replace(found, change_number=0)
    for rows in ("revocations", "service_accounts"):
        if hasattr(found, "total_count") and hasattr(found, rows):
            return (without_numbers(getattr(found, rows)), found.total_count)
    return found


def rows_of(found: TrustChanges) -> list[Any]:
    return [*found.revocations, *found.service_accounts]


async def all_rows(db: Db) -> list[Any]:
    rows = rows_of(await everything(db))
    return sorted(without_numbers(rows), key=lambda row: row.id)


def relaxed(share: float) -> settings:
    return settings(
        max_examples=examples(share),
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "in_memory"])
@relaxed(0.6)
@given(sequence=st.lists(changes | questions, max_size=25))
async def test_every_sequence_of_calls_answers_as_in_memory(db: Db, sequence: list[Call]) -> None:
    await forget_everything(db)
    model = InMemoryDb()
    for call in sequence:
        assert await answer(db, call) == await answer(model, call), call
    assert await all_rows(db) == await all_rows(model)


class Follower:
    """What somebody knows who only ever asks for what has changed."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.rows: dict[str, Any] = {}

    async def step(self, db: Db) -> None:
        changed = await db.trust().changes(after=self.number)
        assert changed.number >= self.number
        for row in rows_of(changed):
            self.rows[row.id] = row
        self.number = changed.number


def picture(rows: list[Any]) -> list[Any]:
    """Without the last use, which is nobody's to follow."""
    return sorted(
        (
            replace(row, last_used_at_us=None) if isinstance(row, ServiceAccountRecord) else row
            for row in rows
        ),
        key=lambda row: row.id,
    )


@relaxed(0.25)
@given(rounds=st.lists(st.lists(st.tuples(st.booleans(), changes), max_size=6), max_size=8))
async def test_who_follows_step_by_step_sees_what_who_reads_everything_sees(
    new_db: MakeDb, kind: str, rounds: list[list[tuple[bool, Call]]]
) -> None:
    one, other = (InMemoryDb(),) * 2 if kind == "in_memory" else (new_db(), new_db())
    if kind != "in_memory":
        await forget_everything(one)
    before = (await everything(one)).number
    followers = [Follower(before), Follower(before)]
    for calls_at_once in rounds:
        # Each round's changes, of both Dbs, and both followers' readings go on at the same time.
        await asyncio.gather(
            *(answer(one if first else other, call) for first, call in calls_at_once),
            followers[0].step(one),
            followers[1].step(other),
        )
    for follower, db in zip(followers, (one, other), strict=True):
        await follower.step(db)
    found = await everything(one)
    for follower in followers:
        assert picture(list(follower.rows.values())) == picture(rows_of(found))
        assert follower.number == found.number
    await asyncio.gather(one.close(), other.close())
