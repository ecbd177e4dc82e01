"""The newest runs of all sessions: whose, which, in what order, how many."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from licet.db.base import Access, Db
from licet.db.records import MAX_RECENT_RUNS, RecentRuns, RunHead, RunRecord, RunStatus
from tests.contract.rows import ADMIN, ALICE, BOB, run, session, stored, tick
from tests.contract.work_rows import claimed, enqueued


async def heads(db: Db, query: RecentRuns, access: Access = ADMIN) -> list[str]:
    return [head.run_id for head in await db.store(access).recent_runs(query)]


async def put(db: Db, run_id: str, session_id: str = "s", **values: Any) -> RunRecord:
    record = run(session_id, run_id=run_id, **values)
    return await stored(db.store(Access(record.owner)), record)


async def test_there_may_be_none(db: Db) -> None:
    assert await heads(db, RecentRuns()) == []


async def test_all_sessions_are_listed_the_newest_run_first(db: Db) -> None:
    await put(db, "old", "s1", at=1)
    await put(db, "new", "s2", owner="bob", at=3)
    await put(db, "middle", "s1", at=2)
    # Of one time, by their ids: the order is total.
    await put(db, "beside", "s3", at=2)
    assert await heads(db, RecentRuns()) == ["new", "middle", "beside", "old"]


async def test_everything_but_the_body_is_known(db: Db) -> None:
    record = await enqueued(db, "s", run_id="r", component_id="a", user_id="u", at=7)
    await claimed(db, "e", agent_ids=("a",), now_us=9)
    (head,) = await db.store(ADMIN).recent_runs(RecentRuns())
    assert head == RunHead(
        owner="alice",
        session_id="s",
        run_id="r",
        component_id="a",
        user_id="u",
        status=RunStatus.RUNNING,
        created_at_us=7,
        updated_at_us=9,
        executor_id="e",
        durable=True,
    )
    assert record.status is RunStatus.PENDING
    # Also of one that nobody works on.
    await put(db, "plain", "t", user_id=None, executor_id=None, at=8)
    (plain, _) = await db.store(ADMIN).recent_runs(RecentRuns())
    assert (plain.user_id, plain.executor_id, plain.durable) == (None, None, False)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (RecentRuns(statuses=(RunStatus.ERROR,)), "b"),
        (RecentRuns(statuses=(RunStatus.ERROR, RunStatus.COMPLETED)), "c b"),
        (RecentRuns(statuses=(RunStatus.PAUSED,)), ""),
        (RecentRuns(component_id="x"), "d c"),
        (RecentRuns(session_id="s2"), "d b"),
        (RecentRuns(user_id="u"), "c a"),
        (RecentRuns(user_id="u", component_id="x"), "c"),
        (RecentRuns(limit=2), "d c"),
        (RecentRuns(limit=2, session_id="s1"), "c a"),
        (RecentRuns(limit=0), ""),
        (RecentRuns(limit=-1), ""),
        (RecentRuns(component_id="nobody"), ""),
        (RecentRuns(session_id="a\0b"), ""),
        (RecentRuns(user_id="\ud800"), ""),
        (RecentRuns(session_id="%"), ""),
    ],
)
async def test_some_of_them_can_be_asked_for(db: Db, query: RecentRuns, expected: str) -> None:
    await put(db, "a", "s1", user_id="u", at=1)
    await put(db, "b", "s2", status=RunStatus.ERROR, at=2)
    await put(db, "c", "s1", user_id="u", status=RunStatus.COMPLETED, component_id="x", at=3)
    await put(db, "d", "s2", component_id="x", at=4)
    assert " ".join(await heads(db, query)) == expected


async def test_each_sees_their_own_and_who_sees_all_sees_all(db: Db) -> None:
    await put(db, "hers", "s")
    await put(db, "his", "s", owner="bob")
    await put(db, "nobodys", "s", owner="")
    assert await heads(db, RecentRuns(), ALICE) == ["hers"]
    assert await heads(db, RecentRuns(session_id="s"), BOB) == ["his"]
    assert await heads(db, RecentRuns(), Access("mallory")) == []
    assert await heads(db, RecentRuns(), Access("mal\0lory")) == []
    assert await heads(db, RecentRuns(), ADMIN) == ["nobodys", "his", "hers"]


async def test_a_deleted_session_has_none(db: Db) -> None:
    record = await put(db, "gone")
    await db.store(ALICE).delete_sessions([record.session_key])
    assert await heads(db, RecentRuns()) == []


async def test_however_many_are_asked_for_not_all_are_listed(db: Db) -> None:
    store, first = db.store(ALICE), session("s", at=tick())
    made = [run(run_id=f"{number:05}", at=number) for number in range(1, MAX_RECENT_RUNS + 2)]
    await asyncio.gather(*(store.begin_run(first, each, history_runs=0) for each in made))
    found = await heads(db, RecentRuns(limit=10**30))
    assert len(found) == MAX_RECENT_RUNS
    assert (found[0], found[-1]) == (f"{MAX_RECENT_RUNS + 1:05}", "00002")
