"""Approvals: where each stands, deciding them, and what becomes of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from licet.db.approval_records import ApprovalQuery, ApprovalStatus, Deleting, FoundApproval
from licet.db.base import Db
from licet.db.records import RunRecord, RunStatus, Saving, SessionKey
from licet.db.run_states import ENDED
from licet.errors import StorageError
from tests.contract.pause_rows import (
    EVERY_APPROVAL,
    approval,
    at_work,
    decision,
    gone_on,
    pause,
    paused,
    pausing,
    whole,
)
from tests.contract.rows import ALICE, tick
from tests.contract.work_rows import claimed, claimed_id, job_of

KEY = SessionKey("alice", "s")
DECIDED = (ApprovalStatus.APPROVED, ApprovalStatus.REJECTED)
UNKNOWN = ("", "unknown", "A", "%", "\0", "\ud800", "x" * 5000)


async def ended_as(db: Db, record: RunRecord, status: RunStatus = RunStatus.CANCELLED) -> None:
    """Let a run end, from where it is."""
    run = await db.store(ALICE).find_run(record.run_id)
    assert run is not None
    done = replace(run, status=status, updated_at_us=tick())
    assert await db.store(ALICE).save_run(done, session_state=None) is Saving.SAVED


async def status_of(db: Db, approval_id: str, *, now_us: int = 0) -> ApprovalStatus:
    """Where an approval stands."""
    found = await db.approvals().get(approval_id)
    assert found is not None
    return found.status(now_us=now_us)


async def stored_run(db: Db, record: RunRecord) -> RunRecord:
    """The run as it is stored."""
    found = await db.store(ALICE).find_run(record.run_id)
    assert found is not None
    return found


# --- reading


async def test_an_approval_is_read_as_it_was_written(db: Db) -> None:
    record = await at_work(db, user_id="u")
    full = approval(record, "full", expires_at_us=7, requested_by="", continues=False)
    bare = approval(record, "bare", user_id=None, arguments="")
    await pause(db, record, [full, bare])
    for each in (full, bare):
        found = await db.approvals().get(each.id)
        assert found == FoundApproval(approval=each, run_status=RunStatus.PAUSED)
    assert list(await db.approvals().of_run(record.run_id)) == [full, bare]


async def test_a_decision_is_read_as_it_was_written(db: Db) -> None:
    record = await at_work(db)
    wanted = [approval(record, each, continues=False) for each in "ab"]
    await pause(db, record, wanted)
    decisions = [
        decision(data={"why": ["fine\0", None, 2.5]}),
        decision(approved=False, by=None, by_owner=None),
    ]
    for each, resolution in zip(wanted, decisions, strict=True):
        assert await db.approvals().resolve(each.id, resolution)
    expected = [replace(a, resolution=r) for a, r in zip(wanted, decisions, strict=True)]
    assert list(await db.approvals().of_run(record.run_id)) == expected
    found = await db.approvals().get("b")
    assert found == FoundApproval(approval=expected[1], run_status=RunStatus.PAUSED)


@pytest.mark.parametrize("identifier", UNKNOWN, ids=lambda text: repr(text[:9]))
async def test_nothing_is_found_by_an_id_that_none_has(db: Db, identifier: str) -> None:
    await paused(db, "a")
    before, store = await whole(db), db.approvals()
    assert await store.get(identifier) is None
    assert list(await store.of_run(identifier)) == []
    assert not await store.resolve(identifier, decision())
    assert await store.delete(identifier) is Deleting.ABSENT
    for name in ("run_id", "session_id", "component_id", "user_id", "tool_name"):
        assert await names(db, **{name: identifier}) == ""
    assert await names(db, ids=frozenset({identifier, "a"})) == "a"
    assert await whole(db) == before


async def names(db: Db, **query: Any) -> str:
    """The ids in a list of approvals."""
    page = await db.approvals().list(ApprovalQuery(**{"now_us": 50, **query}))
    return "".join(found.approval.id for found in page.approvals)


@pytest.fixture
async def five(db: Db) -> Db:
    """Approvals of three runs: one each of every status, at the time 50."""
    first = await at_work(db, "s", run_id="r", user_id="u")
    await pause(
        db,
        first,
        [
            approval(first, "a", created_at_us=10, expires_at_us=51),
            approval(first, "b", created_at_us=30),
            approval(first, "c", created_at_us=30, tool_name="other", expires_at_us=50),
        ],
    )
    await db.approvals().resolve("b", decision(at_us=40))
    second = await at_work(db, "t", owner="bob", component_id="agent 2")
    await pause(db, second, [approval(second, "d", created_at_us=20)])
    await db.approvals().resolve("d", decision(at_us=40, approved=False))
    third = await at_work(db, "s")
    await pause(db, third, [approval(third, "e", created_at_us=40, expires_at_us=1)])
    await ended_as(db, third)
    return db


def _named(value: dict[str, Any] | str) -> str:
    """A query in words that are the same in each process: sets have no order."""
    if isinstance(value, str):
        return value
    shown = {name: sorted(v) if isinstance(v, frozenset) else v for name, v in value.items()}
    return repr(shown)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, "ecbda"),
        ({"status": ApprovalStatus.PENDING}, "a"),
        ({"status": ApprovalStatus.APPROVED}, "b"),
        ({"status": ApprovalStatus.REJECTED}, "d"),
        ({"status": ApprovalStatus.EXPIRED}, "c"),
        ({"status": ApprovalStatus.CANCELLED}, "e"),
        ({"status": ApprovalStatus.PENDING, "now_us": -(2**80)}, "ca"),
        ({"status": ApprovalStatus.EXPIRED, "now_us": 2**80}, "ca"),
        ({"run_id": "r"}, "cba"),
        ({"session_id": "s"}, "ecba"),
        ({"session_id": "S"}, ""),
        ({"component_id": "agent"}, "ecba"),
        ({"user_id": "u"}, "cba"),
        ({"tool_name": "refund"}, "ebda"),
        ({"tool_name": "%"}, ""),
        ({"ids": frozenset()}, ""),
        ({"ids": frozenset("ae")}, "ea"),
        ({"ids": frozenset("ab"), "status": ApprovalStatus.APPROVED, "session_id": "s"}, "b"),
        ({"run_id": "r", "status": ApprovalStatus.CANCELLED}, ""),
    ],
    ids=_named,
)
async def test_lists_are_filtered_the_newest_first(
    five: Db, query: dict[str, Any], expected: str
) -> None:
    assert await names(five, **query) == expected
    page = await five.approvals().list(ApprovalQuery(**{"now_us": 50, **query, "limit": 0}))
    assert (page.approvals, page.total_count) == ((), len(expected))


@pytest.mark.parametrize(
    ("page", "limit", "expected"),
    [
        (1, 2, "ec"),
        (2, 2, "bd"),
        (3, 2, "a"),
        (4, 2, ""),
        (0, 2, "ec"),
        (-5, 2, "ec"),
        (1, -1, ""),
        (2**70, 2, ""),
        (1, 2**70, "ecbda"),
        (2**62, 2**62, ""),
    ],
)
async def test_lists_are_paged(five: Db, page: int, limit: int, expected: str) -> None:
    assert await names(five, page=page, limit=limit) == expected
    found = await five.approvals().list(ApprovalQuery(now_us=0, page=page, limit=limit))
    assert found.total_count == 5


async def test_where_each_stands_is_what_a_list_of_it_says(five: Db) -> None:
    for now_us in (0, 1, 49, 50, 51):
        for status in ApprovalStatus:
            listed = await names(five, status=status, now_us=now_us)
            stands = {each: await status_of(five, each, now_us=now_us) for each in "ecbda"}
            assert listed == "".join(each for each in stands if stands[each] is status)


# --- where it stands


@pytest.mark.parametrize("expires_at_us", [None, 1, 2**62], ids=repr)
@pytest.mark.parametrize("status", sorted(ENDED - {RunStatus.COMPLETED}))
async def test_what_waits_for_a_run_that_ended_is_cancelled(
    db: Db, status: RunStatus, expires_at_us: int | None
) -> None:
    record = await paused(db, "b", of={"expires_at_us": expires_at_us})
    await ended_as(db, record, status)
    before = await whole(db)
    assert await status_of(db, "b", now_us=tick()) is ApprovalStatus.CANCELLED
    assert not await db.approvals().resolve("b", decision())
    assert await whole(db) == before


@pytest.mark.parametrize("expected", DECIDED)
async def test_what_was_decided_stays_so_whatever_becomes_of_the_run(
    db: Db, expected: ApprovalStatus
) -> None:
    record = await paused(db, "a", of={"expires_at_us": 2**62})
    made = decision(approved=expected is ApprovalStatus.APPROVED)
    assert await db.approvals().resolve("a", made)
    assert await status_of(db, "a", now_us=2**63) is expected
    assert await claimed_id(db) == record.run_id
    assert await status_of(db, "a") is expected
    await ended_as(db, record, RunStatus.COMPLETED)
    assert await status_of(db, "a", now_us=2**63) is expected


async def test_an_approval_expires_at_the_very_time_that_it_says(db: Db) -> None:
    await paused(db, "a", "b", of={"expires_at_us": 2_000_000_000_000_000, "continues": False})
    assert not await db.approvals().resolve("a", decision(at_us=2_000_000_000_000_000))
    assert await db.approvals().resolve("b", decision(at_us=1_999_999_999_999_999))
    late = {"now_us": 2_000_000_000_000_000}
    assert await status_of(db, "a", **late) is ApprovalStatus.EXPIRED
    assert await status_of(db, "b", **late) is ApprovalStatus.APPROVED


# --- deciding


@pytest.mark.parametrize("decided", DECIDED)
async def test_with_the_last_decision_a_durable_run_waits_for_its_turn(
    db: Db, decided: ApprovalStatus
) -> None:
    waits = await paused(db, "a", "b")
    assert await db.approvals().resolve("b", decision())
    assert await stored_run(db, waits) == waits
    last = decision(approved=decided is ApprovalStatus.APPROVED)
    assert await db.approvals().resolve("a", last)
    expected = replace(waits, status=RunStatus.PENDING, updated_at_us=last.at_us)
    assert await stored_run(db, waits) == expected
    one = await claimed(db, "f")
    assert one is not None
    assert one.run.run_id == waits.run_id
    assert one.job == job_of(waits)


async def test_what_is_decided_is_decided(db: Db) -> None:
    waits = await paused(db, "a", "b", of={"continues": False})
    for each, approved in (("a", True), ("b", False)):
        assert await db.approvals().resolve(each, decision(approved=approved))
        before = await whole(db)
        assert not await db.approvals().resolve(each, decision(approved=not approved))
        assert await whole(db) == before
    assert await stored_run(db, waits) == waits


@pytest.mark.parametrize(
    ("values", "of"),
    [
        ({"durable": False}, {"continues": True}),
        ({"durable": True}, {"continues": False}),
        ({"durable": False}, {"continues": False}),
    ],
    ids=repr,
)
async def test_a_run_that_does_not_go_on_by_itself_stays_as_it_paused(
    db: Db, values: dict[str, Any], of: dict[str, Any]
) -> None:
    waits = await paused(db, "a", of=of, **values)
    assert await db.approvals().resolve("a", decision())
    assert await stored_run(db, waits) == waits
    assert await claimed(db) is None


async def test_a_run_that_nobody_could_claim_stays_as_it_paused(db: Db) -> None:
    record = await at_work(db)
    waits = replace(reached := pausing(record), executor_id=None)
    saving = await db.store(ALICE).pause_run(
        reached, session_state=None, job=None, approvals=[approval(record, "a")]
    )
    assert saving is Saving.SAVED
    assert await db.approvals().resolve("a", decision())
    assert await stored_run(db, waits) == waits
    assert await claimed(db) is None


async def test_a_decision_that_comes_too_late_does_not_let_a_later_pause_go_on(db: Db) -> None:
    await paused(db, "a")
    assert await db.approvals().resolve("a", decision())
    one = await claimed(db, "f")
    assert one is not None
    # Now it waits for its owner, and for nobody else.
    waits = await pause(db, one.run)
    assert not await db.approvals().resolve("a", decision())
    assert await stored_run(db, waits) == waits


async def test_one_of_an_expired_and_a_decided_approval_leaves_the_run_waiting(db: Db) -> None:
    record = await at_work(db)
    wanted = [approval(record, "a", expires_at_us=1), approval(record, "b")]
    waits = await pause(db, record, wanted)
    assert not await db.approvals().resolve("a", decision())
    assert await db.approvals().resolve("b", decision())
    assert await stored_run(db, waits) == waits


async def test_a_decision_about_one_run_is_none_about_another(db: Db) -> None:
    other = await paused(db, "x")
    waits = await paused(db, "a")
    assert await db.approvals().resolve("a", decision())
    assert await stored_run(db, other) == other
    assert await claimed_id(db) == waits.run_id
    assert await status_of(db, "x") is ApprovalStatus.PENDING


async def test_a_run_that_went_on_is_not_let_go_on_again(db: Db) -> None:
    waits = await paused(db, "a")
    assert await db.approvals().resolve("a", decision())
    assert await claimed_id(db, "f") == waits.run_id
    working = await stored_run(db, waits)
    assert not await db.approvals().resolve("a", decision())
    assert await stored_run(db, waits) == working


async def test_a_run_of_its_owners_own_going_on_takes_its_approvals_along(db: Db) -> None:
    waits = await paused(db, "a", durable=False, of={"continues": False})
    assert await db.approvals().resolve("a", decision())
    going_on, at = gone_on(waits), waits.updated_at_us
    begun = await db.store(ALICE).continue_run(going_on, paused_at_us=at, history_runs=0)
    assert begun is not None
    assert await status_of(db, "a") is ApprovalStatus.APPROVED
    assert await db.approvals().delete("a") is Deleting.REFUSED


# --- values


@pytest.mark.parametrize(
    "text",
    [
        '{"a": "\\u0000"}',
        "raw \0 NUL",
        "no JSON {",
        "'; DROP TABLE licet_runs; --",
        "x" * 3_000_000,
        "👩🏽\u200d🚀 日本語 \u202e",
        "? %s $1 \\",
    ],
    ids=range(7),
)
async def test_arguments_come_back_as_the_model_wrote_them(db: Db, text: str) -> None:
    await paused(db, "a", of={"arguments": text})
    found = await db.approvals().get("a")
    assert found is not None
    assert found.approval.arguments == text
    data = {"said": text, "\0": [text]}
    assert await db.approvals().resolve("a", decision(data=data))
    found = await db.approvals().get("a")
    assert found is not None
    assert found.approval.resolution is not None
    assert found.approval.resolution.data == data


@pytest.mark.parametrize(
    "values",
    [
        {"by": "\0"},
        {"by": "\ud800"},
        {"by_owner": "a\0b"},
        {"at_us": 2**63},
        {"data": {"x": "\udc00"}},
        {"data": {"x": object()}},
        {"data": {"x": [{}] * 3, "y": {1, 2}.__iter__}},
    ],
    ids=range(7),
)
async def test_a_decision_that_no_row_can_hold_is_refused(db: Db, values: dict[str, Any]) -> None:
    await paused(db, "a")
    before = await whole(db)
    with pytest.raises(StorageError):
        await db.approvals().resolve("a", decision(**values))
    assert not await db.approvals().resolve("unknown", decision(**values))
    assert await whole(db) == before


async def test_nobody_shares_what_was_said_with_the_database(db: Db) -> None:
    record = await paused(db, "a")
    said: dict[str, Any] = {"note": ["first"], "pair": (1, 2)}
    assert await db.approvals().resolve("a", decision(data=said))
    said["note"].append("second")
    for _ in range(2):
        found = await db.approvals().get("a")
        (listed,) = (await db.approvals().list(EVERY_APPROVAL)).approvals
        (of_run,) = await db.approvals().of_run(record.run_id)
        assert found is not None
        for each in (found.approval, listed.approval, of_run):
            assert each.resolution is not None
            assert each.resolution.data == {"note": ["first"], "pair": [1, 2]}
            each.resolution.data.clear()


# --- deleting


@pytest.mark.parametrize("status", [s for s in RunStatus if s not in ENDED])
async def test_an_approval_stays_while_its_run_may_still_need_it(db: Db, status: RunStatus) -> None:
    waits = await paused(db, "a")
    if status is not RunStatus.PAUSED:
        await db.approvals().resolve("a", decision())
    if status is RunStatus.RUNNING:
        assert await claimed_id(db) == waits.run_id
    assert (await stored_run(db, waits)).status is status
    before = await whole(db)
    assert await db.approvals().delete("a") is Deleting.REFUSED
    assert await whole(db) == before


@pytest.mark.parametrize("status", sorted(ENDED))
async def test_the_approval_of_a_run_that_ended_can_be_deleted(db: Db, status: RunStatus) -> None:
    waits = await paused(db, "a", "b")
    for each in "ab":
        await db.approvals().resolve(each, decision())
    assert await claimed_id(db) == waits.run_id
    await ended_as(db, waits, status)
    assert await db.approvals().delete("a") is Deleting.DELETED
    assert await db.approvals().delete("a") is Deleting.ABSENT
    assert await db.approvals().get("a") is None
    assert [each.id for each in await db.approvals().of_run(waits.run_id)] == ["b"]
    assert (await stored_run(db, waits)).status is status
    assert await db.work().job(waits.run_id) is not None


async def test_approvals_go_with_the_session_of_their_run_and_no_other_do(db: Db) -> None:
    await paused(db, "a", "b")
    await paused(db, "c", session_id="t")
    await paused(db, "d", owner="bob")
    assert await db.store(ALICE).delete_sessions([KEY]) == 1
    assert await names(db) == "dc"
    for gone in "ab":
        assert await db.approvals().get(gone) is None
        assert not await db.approvals().resolve(gone, decision())
        assert await db.approvals().delete(gone) is Deleting.ABSENT
