"""Requests that are done once: whoever asks again learns what the first request began."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from licet.db.base import Db
from licet.db.codec import MAX_KEY_BYTES
from licet.db.records import BegunRun, RunRecord, SessionKey
from licet.db.work_records import (
    Once,
    QueueFullError,
    QueueLimits,
    RepeatedRequestError,
)
from licet.errors import ConflictError, InvalidInputError, StorageError
from tests.contract.conftest import MakeDb
from tests.contract.rows import ADMIN, ALICE, BOB, everything, run, session
from tests.contract.work_rows import UNLIMITED, enqueued, job_of, once, queued


async def begun(db: Db, record: RunRecord, asked: Once, **values: Any) -> BegunRun:
    """Begin a run that was asked for once."""
    access = values.pop("access", ALICE)
    return await db.store(access).begin_run(
        session(record.session_id, owner=record.owner), record, history_runs=1, once=asked
    )


async def asked_for(db: Db, session_id: str, asked: Once, *, queue: bool) -> RunRecord:
    """A run that was asked for once, enqueued or begun."""
    if queue:
        return await enqueued(db, session_id, asked=asked)
    await begun(db, record := run(session_id), asked)
    return record


async def repeated(db: Db, asked: Once, *, queue: bool = False) -> RepeatedRequestError:
    """What somebody hears who asks again, in another session; nothing is written."""
    before = await everything(db)
    with pytest.raises(RepeatedRequestError) as caught:
        await asked_for(db, "again", asked, queue=queue)
    assert await everything(db) == before
    return caught.value


@pytest.mark.parametrize("first", ["queues", "begins"])
@pytest.mark.parametrize("then", ["queues", "begins"])
async def test_who_asks_again_learns_which_run_there_is(db: Db, first: str, then: str) -> None:
    asked, queue = once(), then == "queues"
    record = await asked_for(db, "first", asked, queue=first == "queues")
    error = await repeated(db, asked, queue=queue)
    assert (error.first_key, error.first_run_id) == (SessionKey("alice", "first"), record.run_id)
    assert error.same is True
    assert (await repeated(db, once(digest="else"), queue=queue)).same is False


@pytest.mark.parametrize(
    "other", [once("other"), once(route="POST /other"), once(owner="bob")], ids=repr
)
async def test_another_key_route_or_owner_is_another_request(db: Db, other: Once) -> None:
    await begun(db, run(), once())
    await begun(db, run(), other, access=ADMIN)
    assert len(await everything(db)) == 3


async def test_without_a_key_nothing_is_remembered(db: Db) -> None:
    await db.store(ALICE).begin_run(session(), run(), history_runs=0)
    await db.store(ALICE).begin_run(session(), run(), history_runs=0)


async def test_a_request_that_failed_can_be_made_again(db: Db) -> None:
    taken = await enqueued(db)
    with pytest.raises(ConflictError, match="exists"):
        await begun(db, run("other", run_id=taken.run_id), once())
    with pytest.raises(QueueFullError):
        await enqueued(db, limits=QueueLimits(waiting=1), asked=once())
    await begun(db, run(), once())


async def test_who_asks_again_where_the_queue_is_full_learns_which_run_there_is(db: Db) -> None:
    first = await enqueued(db, asked=once())
    with pytest.raises(RepeatedRequestError) as caught:
        await enqueued(db, limits=QueueLimits(waiting=1), asked=once())
    assert caught.value.first_run_id == first.run_id


async def test_a_request_is_forgotten_with_the_run_that_it_began(db: Db) -> None:
    await begun(db, run(), once())
    await db.store(ALICE).delete_sessions([SessionKey("alice", "s")])
    await begun(db, run(), once())


async def test_a_request_is_forgotten_when_it_is_old(db: Db) -> None:
    await begun(db, run(), once(created_at_us=10))
    assert await db.work().forget_before(10) == 0
    await repeated(db, once())
    assert await db.work().forget_before(11) == 1
    await begun(db, run(), once())


async def test_a_request_of_an_admin_in_somebodys_session_is_the_admins(db: Db) -> None:
    mine = once(owner="root")
    first = run()
    await begun(db, first, mine, access=ADMIN)
    with pytest.raises(RepeatedRequestError) as caught:
        await begun(db, run(), mine, access=ADMIN)
    assert caught.value.first_key == SessionKey("alice", "s")
    await begun(db, run(), once())


async def test_nobody_makes_a_request_of_somebody_else(db: Db) -> None:
    store, of, waiting = db.store(BOB), session(owner="bob"), queued(owner="bob")
    with pytest.raises(InvalidInputError, match="once"):
        await store.begin_run(of, run(owner="bob"), history_runs=0, once=once())
    with pytest.raises(InvalidInputError, match="once"):
        await store.enqueue_run(of, waiting, job_of(waiting), limits=UNLIMITED, once=once())
    assert await everything(db) == []
    await begun(db, run(), once())


@pytest.mark.parametrize("field", ["owner", "route", "key", "digest"])
@pytest.mark.parametrize("bad", ["a\0b", "\ud83d"])
async def test_a_key_that_cannot_be_stored_is_refused(db: Db, field: str, bad: str) -> None:
    with pytest.raises(StorageError, match=field):
        await begun(db, run(), once(**{"key": "k", field: bad}), access=ADMIN)
    assert await everything(db) == []


@pytest.mark.parametrize("field", ["owner", "route", "key"])
async def test_a_key_longer_than_every_index_takes_is_refused(db: Db, field: str) -> None:
    longest = "x" * MAX_KEY_BYTES
    await begun(db, run(), once(longest, route=longest, owner=longest), access=ADMIN)
    with pytest.raises(StorageError, match=field):
        await begun(db, run(), once(**{"key": "k", field: longest + "x"}), access=ADMIN)


async def test_of_many_requests_of_one_key_in_two_processes_one_begins(new_db: MakeDb) -> None:
    dbs = [new_db(), new_db()]
    for turn in range(10):
        asked = once(f"{turn}")
        records = [run(f"{turn} {n}") for n in range(6)]
        answers = await asyncio.gather(
            *(begun(dbs[n % 2], record, asked) for n, record in enumerate(records)),
            return_exceptions=True,
        )
        (first,) = [n for n, answer in enumerate(answers) if isinstance(answer, BegunRun)]
        for answer in answers[:first] + answers[first + 1 :]:
            assert isinstance(answer, RepeatedRequestError)
            assert answer.first_run_id == records[first].run_id
    assert len(await everything(dbs[0])) == 20
    await asyncio.gather(*(db.close() for db in dbs))


async def test_a_repeated_request_does_not_disturb_its_neighbours(db: Db) -> None:
    await begun(db, run(), once())
    records = [run(f"{n}") for n in range(20)]
    writes = [begun(db, record, once(f"{n}")) for n, record in enumerate(records)]
    writes.insert(10, begun(db, run(), once()))
    answers = await asyncio.gather(*writes, return_exceptions=True)
    assert isinstance(answers.pop(10), RepeatedRequestError)
    assert all(isinstance(answer, BegunRun) for answer in answers)
