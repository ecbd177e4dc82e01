"""Waiting for a change: who made it, when it is seen, and what is left behind."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from licet.db.base import Db
from licet.db.trust_base import TrustStore
from licet.db.trust_records import TRUST_TOPIC
from licet.errors import StorageError
from tests.contract.conftest import MakeDb
from tests.contract.trust_rows import account, number_of, revocation, rotation
from tests.contract.watches import DEADLINE_SECONDS, until, waiters_of, watching

SEEN_WITHIN_SECONDS = 1.0
# What a machine that is busy with other tests may take for once.
LATEST_SECONDS = 5.0

Change = Callable[[TrustStore], Awaitable[Any]]


async def test_a_number_that_is_passed_already_is_answered_at_once(db: Db) -> None:
    await db.trust().add_revocations([revocation()])
    number = await number_of(db)
    began = time.monotonic()
    assert await db.watch(TRUST_TOPIC, after=number - 1, timeout_seconds=60) == number
    assert time.monotonic() - began < DEADLINE_SECONDS


@pytest.mark.parametrize("timeout_seconds", [0.0, -1.0, 0.3])
async def test_without_a_change_the_same_number_is_answered_when_the_time_is_over(
    db: Db, timeout_seconds: float
) -> None:
    clock = asyncio.get_running_loop().time
    number, began = await number_of(db), clock()
    found = await db.watch(TRUST_TOPIC, after=number, timeout_seconds=timeout_seconds)
    assert found == number
    assert timeout_seconds <= clock() - began < timeout_seconds + DEADLINE_SECONDS


@pytest.mark.parametrize(
    "change",
    [
        lambda trust: trust.add_revocations([revocation("new")]),
        lambda trust: trust.use_once(revocation("new"), []),
        lambda trust: trust.delete_revocation("r", deleted_at_us=20),
        lambda trust: trust.create_service_account(account("new")),
        lambda trust: trust.rotate_service_account("a", **rotation()),
        lambda trust: trust.revoke_service_account("a", revoked_at_us=20),
    ],
    ids=["add", "use", "delete", "create", "rotate", "revoke"],
)
async def test_every_change_is_seen_soon_also_from_another_db(
    new_db: MakeDb, change: Change
) -> None:
    one, other = new_db(), new_db()
    await one.trust().add_revocations([revocation(id="r")])
    await one.trust().create_service_account(account(id="a"))
    number = await number_of(other)
    tasks = [await watching(db, number) for db in (one, other)]
    await change(one.trust())
    began = time.monotonic()
    assert await asyncio.gather(*tasks) == [number + 1] * 2
    assert time.monotonic() - began < LATEST_SECONDS
    await asyncio.gather(one.close(), other.close())


async def test_what_nobody_has_to_know_wakes_nobody(db: Db) -> None:
    trust = db.trust()
    await trust.create_service_account(account(id="a"))
    await trust.add_revocations([revocation(expires_at_us=20)])
    number = await number_of(db)
    task = await watching(db, number)
    await trust.touch_service_account("a", last_used_at_us=30)
    assert await trust.forget_expired(now_us=30) == 1
    assert await db.watch(TRUST_TOPIC, after=number, timeout_seconds=0.5) == number
    assert not task.done()
    task.cancel()
    await asyncio.wait({task})


async def test_a_change_between_two_watches_is_not_missed(db: Db) -> None:
    seen = await number_of(db)
    for turn in range(20):
        await db.trust().add_revocations([revocation(f"{turn}")])
        found = await db.watch(TRUST_TOPIC, after=seen, timeout_seconds=DEADLINE_SECONDS)
        assert found == seen + 1
        seen = found


async def test_a_change_while_a_watch_begins_is_seen_within_a_second(db: Db) -> None:
    seconds: list[float] = []
    for turn in range(20):
        number = await number_of(db)
        began = time.monotonic()
        found, _ = await asyncio.gather(
            db.watch(TRUST_TOPIC, after=number, timeout_seconds=DEADLINE_SECONDS),
            db.trust().add_revocations([revocation(f"{turn}")]),
        )
        assert found == number + 1
        seconds.append(time.monotonic() - began)
    assert statistics.median(seconds) < SEEN_WITHIN_SECONDS
    assert max(seconds) < LATEST_SECONDS


async def test_many_can_watch_at_once(db: Db) -> None:
    number = await number_of(db)
    tasks = [await watching(db, number) for _ in range(30)]
    await db.trust().add_revocations([revocation()])
    assert await asyncio.gather(*tasks) == [number + 1] * 30
    assert len(waiters_of(db)) == 0


async def test_a_watch_that_is_cancelled_leaves_nothing_behind(db: Db) -> None:
    number = await number_of(db)
    tasks = [await watching(db, number) for _ in range(5)]
    assert len(waiters_of(db)) == 5
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert all(task.cancelled() for task in tasks)
    assert len(waiters_of(db)) == 0
    await db.trust().add_revocations([revocation()])
    assert await number_of(db) == number + 1


def test_event_loops_in_several_threads_watch_one_db(new_db: MakeDb) -> None:
    db = new_db()
    number = asyncio.run(number_of(db))

    async def watch() -> int:
        return await db.watch(TRUST_TOPIC, after=number, timeout_seconds=DEADLINE_SECONDS)

    async def change() -> None:
        await until(lambda: len(waiters_of(db)) == 6)
        await db.trust().add_revocations([revocation()])

    with ThreadPoolExecutor(6) as threads:
        found = [threads.submit(asyncio.run, watch()) for _ in range(6)]
        asyncio.run(change())
        assert [future.result() for future in found] == [number + 1] * 6
    asyncio.run(db.close())


def test_a_loop_that_ended_while_it_watched_is_no_hindrance(new_db: MakeDb) -> None:
    db = new_db()
    number = asyncio.run(number_of(db))
    loop = asyncio.new_event_loop()
    task = loop.create_task(db.watch(TRUST_TOPIC, after=number, timeout_seconds=60))
    loop.run_until_complete(asyncio.wait({task}, timeout=0.2))

    async def change() -> int:
        await db.trust().add_revocations([revocation()])
        return await db.watch(TRUST_TOPIC, after=number, timeout_seconds=DEADLINE_SECONDS)

    assert asyncio.run(change()) == number + 1
    task.cancel()
    loop.run_until_complete(asyncio.wait({task}))
    loop.close()
    asyncio.run(db.close())


@pytest.mark.parametrize("topic", ["", "Trust", "trust\0", "\ud800"])
async def test_a_topic_that_there_is_not_is_refused(db: Db, topic: str) -> None:
    with pytest.raises(StorageError, match="no topic"):
        await db.watch(topic, after=0, timeout_seconds=60)


async def test_a_watch_opens_its_db(new_db: MakeDb) -> None:
    db = new_db()
    assert await db.watch(TRUST_TOPIC, after=-1, timeout_seconds=0) >= 0
    await db.close()


async def test_a_db_can_be_watched_after_closing_and_opening(db: Db) -> None:
    number = await number_of(db)
    assert await db.watch(TRUST_TOPIC, after=number, timeout_seconds=0) == number
    await db.close()
    task = asyncio.create_task(
        db.watch(TRUST_TOPIC, after=number, timeout_seconds=DEADLINE_SECONDS)
    )
    await db.trust().add_revocations([revocation()])
    assert await task == number + 1
