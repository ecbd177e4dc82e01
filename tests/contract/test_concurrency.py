"""Many callers at once: tasks, threads, event loops, and several Dbs on one database."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from licet.db.base import Db
from licet.db.records import RunQuery, RunStatus, Saving, SessionKey
from licet.errors import ConflictError
from tests.contract.conftest import MakeDb
from tests.contract.rows import ALICE, everything, run, session, stored

KEY = SessionKey("alice", "s")


async def test_fifty_runs_begun_at_once_share_one_new_session(db: Db) -> None:
    store = db.store(ALICE)
    records = [run() for _ in range(50)]
    firsts = [session(session_name=f"{n}") for n in range(50)]
    begun = await asyncio.gather(
        *(store.begin_run(s, r, history_runs=3) for s, r in zip(firsts, records, strict=True))
    )
    assert len({b.session.session_name for b in begun}) == 1
    assert len(await store.find_sessions("s")) == 1
    listed = await store.list_runs(KEY, RunQuery())
    assert {r.run_id for r in listed} == {r.run_id for r in records}


async def test_one_that_fails_does_not_fail_its_neighbours(db: Db) -> None:
    store = db.store(ALICE)
    taken = await stored(store, run())
    records = [run(f"s{n}") for n in range(20)]
    writes = [store.begin_run(session(r.session_id), r, history_runs=0) for r in records]
    writes.insert(10, store.begin_run(session(), taken, history_runs=0))
    outcomes = await asyncio.gather(*writes, return_exceptions=True)
    assert isinstance(outcomes.pop(10), ConflictError)
    assert not [o for o in outcomes if isinstance(o, BaseException)]
    for record in records:
        assert await store.get_run(record.session_key, record.run_id) == record


async def test_of_many_that_make_one_session_one_does(db: Db) -> None:
    made = await asyncio.gather(*(db.store(ALICE).create_session(session()) for _ in range(30)))
    assert sorted(made) == [False] * 29 + [True]


async def test_saves_of_one_run_take_effect_in_the_order_of_their_calls(db: Db) -> None:
    store = db.store(ALICE)
    record = await stored(store, run())
    await asyncio.gather(
        *(
            store.save_run(replace(record, body=b"%d" % n), session_state={"n": n})
            for n in range(40)
        )
    )
    found = await store.get_run(KEY, record.run_id)
    assert found is not None
    assert found.body == b"39"
    assert (await store.find_sessions("s"))[0].session_state == {"n": 39}


def test_one_db_serves_several_event_loops_in_several_threads(new_db: MakeDb) -> None:
    db = new_db()

    async def work(number: int) -> None:
        store = db.store(ALICE)
        for step in range(5):
            record = await stored(store, run(f"{number}", body=b"%d" % step))
            done = replace(record, total_tokens=1)
            assert await store.save_run(done, session_state=None) is Saving.SAVED

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(lambda number: asyncio.run(work(number)), range(12)))

    async def look() -> None:
        for number in range(12):
            assert await db.store(ALICE).total_tokens(SessionKey("alice", f"{number}")) == 5
        await db.close()

    asyncio.run(look())


async def test_runs_begun_while_their_session_is_deleted_elsewhere_are_no_orphans(
    new_db: MakeDb,
) -> None:
    one, other = new_db(), new_db()
    going = True

    async def delete() -> None:
        while going:
            await other.store(ALICE).delete_sessions([KEY])
            await asyncio.sleep(0)

    async def begin() -> None:
        for _ in range(30):
            record = await stored(one.store(ALICE), run())
            await one.store(ALICE).save_run(
                replace(record, status=RunStatus.COMPLETED), session_state=None
            )

    deleting = asyncio.create_task(delete())
    await asyncio.gather(*(begin() for _ in range(8)))
    going = False
    await deleting
    await one.store(ALICE).delete_sessions([KEY])
    assert await everything(one) == []
    assert await one.store(ALICE).total_tokens(KEY) == 0
    await asyncio.gather(one.close(), other.close())


async def test_two_dbs_on_one_database_see_the_same(new_db: MakeDb) -> None:
    one, other = new_db(), new_db()
    record = await stored(one.store(ALICE), run())
    assert await other.store(ALICE).get_run(KEY, record.run_id) == record
    assert await other.store(ALICE).delete_sessions([KEY]) == 1
    assert await one.store(ALICE).get_run(KEY, record.run_id) is None
    await asyncio.gather(one.close(), other.close())


async def test_a_caller_that_stops_waiting_does_not_disturb_the_others(db: Db) -> None:
    store, record = db.store(ALICE), run("t")
    impatient = asyncio.create_task(store.begin_run(session(), run(), history_runs=0))
    patient = asyncio.create_task(store.begin_run(session("t"), record, history_runs=0))
    await asyncio.sleep(0)
    impatient.cancel()
    await patient
    await asyncio.wait({impatient})
    assert await store.get_run(SessionKey("alice", "t"), record.run_id) == record
