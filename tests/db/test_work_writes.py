from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from licet.db import approval_writes, run_writes, trust_writes, work_writes, writes
from licet.db.access import THE_SERVER
from licet.db.claim_write import claim
from licet.db.postgres import PostgresDb
from licet.db.postgres_backend import PostgresBackend
from licet.db.postgres_url import parse_postgres_url
from licet.db.records import RunStatus, Saving, SessionKey
from licet.db.sqlite import SqliteBackend, SqliteDb
from licet.db.work_records import ClaimedRun, ExecutorEnd, QueueLimits
from licet.db.writes import Answer, ContentionError, Statement, Write
from tests.contract.pause_rows import approval, decision, gone_on, pausing
from tests.contract.rows import ALICE, run, session, stored
from tests.contract.trust_rows import revocation
from tests.contract.work_rows import (
    AGENTS,
    UNLIMITED,
    claimed,
    claimed_id,
    enqueued,
    executor,
    job_of,
    once,
    queued,
)
from tests.db.conftest import until_somebody_waits_for_a_lock
from tests.support.postgres import ROLE, ROW_ROLE, EmbeddedPostgres

KEY = SessionKey("alice", "s")


def claiming(passing_locked: Any) -> Write[ClaimedRun | None]:
    """A claim of a process that serves two agents."""
    return claim(
        "e",
        agent_ids=(*AGENTS, "other"),
        unserved_before_us=0,
        limits=UNLIMITED,
        now_us=1,
        passing_locked=passing_locked,
    )


def of_the_topic() -> list[Write[Any]]:
    """The writes that take the row of the topic."""
    return [
        claiming(str),
        work_writes.end_executor("e", end=ExecutorEnd.DIED, beats=None),
        work_writes.end_executor("e", end=ExecutorEnd.DIED, beats=1),
        work_writes.raise_work(),
        work_writes.forget_before(1),
    ]


def of_pauses() -> list[Write[Any]]:
    """The writes of runs that pause and go on."""
    record = run(executor_id="e", durable=True)
    reached, wanted = pausing(record), [approval(record, "a"), approval(record, "b")]
    return [
        run_writes.pause_run(reached, session_state={}, job=job_of(record), approvals=wanted),
        *(
            run_writes.continue_run(gone_on(reached, status), paused_at_us=1, history_runs=0)
            for status in (RunStatus.RUNNING, RunStatus.PENDING)
        ),
        approval_writes.resolve("a", KEY, decision()),
        approval_writes.delete("a", KEY),
    ]


def test_what_takes_the_row_of_the_topic_takes_it_first() -> None:
    for write in of_the_topic():
        assert write.statements[0].sql.startswith("UPDATE licet_changes SET number = number")


def test_all_processes_lock_in_one_order() -> None:
    record = queued()
    of_sessions: list[Write[Any]] = [
        run_writes.save_run(record, session_state=None),
        run_writes.work_on_run(record, history_runs=1),
        run_writes.ask_to_cancel(KEY, "r", now_us=1),
        *of_pauses(),
        run_writes.begin_run(session(), record, history_runs=0, once=once()),
        run_writes.enqueue_run(session(), record, job_of(record), once=once()),
    ]
    of_executors: list[Write[Any]] = [
        work_writes.register_executor(executor("")),
        work_writes.beat("e"),
        work_writes.settle_executor("e"),
    ]
    trust = trust_writes.add_revocations([revocation()])
    for write in of_sessions:
        assert write.key < trust.key
        assert not [s for s in write.statements if "licet_changes" in s.sql]
    for write in of_the_topic():
        assert trust.key < write.key
        assert all(write.key < later.key for later in of_executors)


def test_a_foreground_run_costs_no_more_statements_than_it_must() -> None:
    record = run()
    begin = run_writes.begin_run(session(), record, history_runs=3)
    assert [s.sql.split()[0] for s in begin.statements] == ["INSERT", "SELECT", "INSERT", "SELECT"]
    save = run_writes.save_run(replace(record, status=RunStatus.COMPLETED), session_state={})
    assert [s.sql.split()[0] for s in save.statements] == ["UPDATE", "UPDATE"]


async def test_sqlite_finds_everything_by_an_index_that_ended_runs_do_not_fill(
    tmp_path: Path,
) -> None:
    db = SqliteDb(tmp_path / "licet.db")
    await db.open()
    backend = SqliteBackend(db.db_file)
    connection = backend._connection()
    statements = [
        claiming(backend.passing_locked).statements[1],
        *work_writes.check_room(1).statements,
        *work_writes.adopt("r", old_executor_id="e", executor_id="f").statements,
        *work_writes.put_back("r", executor_id="e").statements,
        *work_writes.beat("e").statements,
        *run_writes.ask_to_cancel(KEY, "r", now_us=1).statements,
        *[statement for write in of_pauses() for statement in write.statements],
        *run_writes.begin_run(session(), run(), history_runs=0, once=once()).statements,
        *[Statement(sql, ()) for sql in reads()],
    ]
    for sql, parameters in statements:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {sql}", parameters).fetchall()
        # Parameters that stand in for a row are no table.
        steps = [step[3] for step in plan if step[3] != "SCAN CONSTANT ROW"]
        assert not [step for step in steps if step.startswith("SCAN")], (sql, steps)
        assert not [step for step in steps if "licet_runs_of_session" in step], (sql, steps)
        # The order is the index's own: a long queue is not sorted for each claim.
        assert not [step for step in steps if "FOR ORDER BY" in step], (sql, steps)
    connection.close()
    await db.close()


def reads() -> Iterator[str]:
    """The reads of runs, with their values."""
    from licet.db import work_reads

    for select in (
        work_reads.running_runs("e", durable=True),
        work_reads.running_runs(None, durable=False),
        work_reads.runs_to_cancel("e"),
        work_reads.waiting_count(),
        work_reads.one_job("r"),
    ):
        yield str(select.compile(compile_kwargs={"literal_binds": True}))


def raw(sql: str, parameters: tuple[Any, ...] = ()) -> Write[Answer]:
    """A write of one statement."""
    return Write(("", ""), (Statement(sql, parameters),), lambda answers: answers[0])


@pytest.fixture(params=[False, True], ids=["plain", "guarded"])
async def full_db(
    request: pytest.FixtureRequest, postgres_server: EmbeddedPostgres, postgres_url: str
) -> AsyncIterator[PostgresDb]:
    """20 000 runs that have ended, in one session, and a few that have not."""
    postgres_server.create_role_within(ROW_ROLE, member=ROLE)
    db = PostgresDb(postgres_url, row_level_security=request.param)
    for number in range(20):
        await enqueued(db, f"{number % 4}")
        await stored(db.store(ALICE), run("0", executor_id="e"))
    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(
            "INSERT INTO licet_runs (run_id, owner, session_id, component_id, status, body, "
            "total_tokens, created_at_us, updated_at_us, durable, executor_id) "
            "SELECT n::text, 'alice', '0', 'a', 'COMPLETED', '{}', 0, n, n, n % 2, 'e' "
            "FROM generate_series(1, 20000) AS n"
        )
        connection.execute("ANALYZE")
    yield db
    await db.close()


def scans(plan: Any) -> Iterator[tuple[str, str | None]]:
    """How each table of a plan is read, and by which index."""
    if isinstance(plan, list):
        for part in plan:
            yield from scans(part)
    elif isinstance(plan, dict):
        if plan.get("Relation Name") == "licet_runs" and plan["Node Type"] != "ModifyTable":
            yield plan["Node Type"], plan.get("Index Name")
        elif plan.get("Node Type") == "Bitmap Index Scan":
            yield plan["Node Type"], plan["Index Name"]
        for part in plan.values():
            yield from scans(part)


async def test_postgres_finds_everything_by_an_index_that_ended_runs_do_not_fill(
    full_db: PostgresDb, postgres_url: str
) -> None:
    backend = PostgresBackend(parse_postgres_url(postgres_url))
    statements = [
        claiming(backend.passing_locked).statements[1],
        *work_writes.check_room(1).statements,
        *[Statement(sql, ()) for sql in reads()],
    ]
    short = {"licet_runs_unended", "licet_runs_queued", "licet_runs_pkey"}
    for sql, parameters in statements:
        explain = raw(f"EXPLAIN (FORMAT JSON) {sql}", parameters)
        (row,) = (await full_db.write(explain, access=THE_SERVER)).rows
        found = list(scans(json.loads(row[0])))
        assert found or "licet_jobs" in sql, sql
        for node, index in found:
            assert (node == "Bitmap Heap Scan") is (index is None), (node, sql)
            assert index is None or index in short, (index, sql)
    assert await claimed(full_db, "e") is not None


def node_called(plan: Any, alias: str) -> dict[str, Any] | None:
    """The node of a plan that reads a table under that name."""
    parts = plan if isinstance(plan, list) else list(plan.values())
    if isinstance(plan, dict) and plan.get("Alias") == alias:
        return plan
    found = (node_called(part, alias) for part in parts if isinstance(part, (dict, list)))
    return next(filter(None, found), None)


@pytest.mark.parametrize("analyzed", [True, False], ids=["analyzed", "never analyzed"])
async def test_postgres_compares_no_run_of_a_long_session_with_each_of_the_others(
    postgres_url: str, analyzed: object
) -> None:
    db = PostgresDb(postgres_url)
    await asyncio.gather(*(enqueued(db, "long") for _ in range(1000)))
    if analyzed:
        with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute("ANALYZE")
    backend = PostgresBackend(parse_postgres_url(postgres_url))
    sql, parameters = claiming(backend.passing_locked).statements[1]
    (row,) = (await db.write(raw(f"EXPLAIN (FORMAT JSON) {sql}", parameters))).rows
    # One look into the index for each run that is looked at, and no join.
    first = node_called(json.loads(row[0]), "first")
    assert first is not None
    assert first["Index Name"] == "licet_runs_queued"
    assert "session_id = queued.session_id" in first["Index Cond"]
    await db.close()


@pytest.fixture
async def db(postgres_url: str) -> AsyncIterator[PostgresDb]:
    db = PostgresDb(postgres_url)
    await db.open()
    yield db
    await db.close()


async def test_a_claim_passes_over_a_run_that_is_being_cancelled(
    db: PostgresDb, postgres_url: str
) -> None:
    first, second = await enqueued(db, "a"), await enqueued(db, "b")
    later = await enqueued(db, "a")
    cancelled = replace(first, status=RunStatus.CANCELLED)
    with closing(PostgresBackend(parse_postgres_url(postgres_url)).connect()) as other:
        other.execute(run_writes.save_run(cancelled, session_state=None).statements)
        async with asyncio.timeout(20):
            assert await claimed_id(db) == second.run_id
            # What is behind it in its session stays behind it for as long.
            assert await claimed(db) is None
        other.commit()
    assert await claimed_id(db) == later.run_id


async def test_claims_wait_for_each_other_and_then_see_what_the_first_took(
    db: PostgresDb, postgres_url: str, postgres_server: EmbeddedPostgres
) -> None:
    first, second = await enqueued(db, "a"), await enqueued(db, "b")
    await enqueued(db, "c")
    backend = PostgresBackend(parse_postgres_url(postgres_url))
    theirs = claiming(backend.passing_locked)
    limits = QueueLimits(overall=2)
    with closing(backend.connect()) as other:
        taken = theirs.conclude(other.execute(theirs.statements))
        assert taken is not None
        assert taken.run.run_id == first.run_id
        mine = [asyncio.create_task(claimed_id(db, limits=limits)) for _ in range(2)]
        await until_somebody_waits_for_a_lock(postgres_server)
        assert not any(task.done() for task in mine)
        other.commit()
    assert sorted(await asyncio.gather(*mine), key=str) == sorted([second.run_id, None], key=str)


@pytest.mark.parametrize("kept", [True, False], ids=["ended", "given to another"])
async def test_a_session_keeps_its_state_where_its_run_is_lost_between_two_statements(
    db: PostgresDb, postgres_url: str, postgres_server: EmbeddedPostgres, kept: object
) -> None:
    store = db.store(ALICE)
    await stored(store, run("s", run_id="r", executor_id="e", durable=True), session_state={"a": 1})
    record = await store.find_run("r")
    assert record is not None
    # They hold the session; whoever waits for it has looked at the run already.
    if kept:
        done = replace(record, status=RunStatus.ERROR)
        theirs = run_writes.save_run(done, session_state={"theirs": 1}).statements
    else:
        name = Statement("UPDATE licet_sessions SET session_name = 'n' WHERE session_id = 's'", ())
        theirs = (
            name,
            *work_writes.adopt("r", old_executor_id="e", executor_id="f").statements,
        )
    mine = replace(record, status=RunStatus.COMPLETED)
    with closing(PostgresBackend(parse_postgres_url(postgres_url)).connect()) as other:
        other.execute(theirs)
        saving = asyncio.create_task(store.save_run(mine, session_state={"mine": 1}))
        await until_somebody_waits_for_a_lock(postgres_server)
        other.commit()
    assert await saving is Saving.REFUSED
    (found,) = await store.find_sessions("s")
    assert found.session_state == ({"theirs": 1} if kept else {"a": 1})


async def test_two_processes_that_cancel_claim_and_end_do_not_wait_in_a_circle(
    db: PostgresDb,
    postgres_url: str,
    postgres_server: EmbeddedPostgres,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    in_the_way: list[str] = []

    def note(_: ContentionError, text: str) -> None:
        in_the_way.append(text)

    # It would be tried again, and nobody would see it.
    monkeypatch.setattr(ContentionError, "__init__", note)
    records = [await enqueued(db, name) for name in "abc"]
    for name in "ef":
        await db.work().register_executor(executor(name))
    backend = PostgresBackend(parse_postgres_url(postgres_url))
    cancelled = [replace(record, status=RunStatus.CANCELLED) for record in records]
    theirs = claiming(backend.passing_locked)
    # They hold the run that is next, and the row of the topic; we hold a session, and want both.
    with closing(backend.connect()) as other:
        other.execute(run_writes.save_run(cancelled[0], session_state=None).statements)
        other.execute(theirs.statements)
        mine: list[asyncio.Task[Any]] = [
            asyncio.create_task(job)
            for job in (
                db.work().beat("f"),
                db.work().end_executor("e", end=ExecutorEnd.DIED, beats=None),
                claimed(db, "f"),
                db.store(ALICE).save_run(cancelled[2], session_state=None),
            )
        ]
        await until_somebody_waits_for_a_lock(postgres_server)
        await asyncio.to_thread(other.execute, work_writes.beat("e").statements)
        other.commit()
    _, _, found, _ = await asyncio.gather(*mine)
    assert found is None
    assert in_the_way == []


async def test_writes_that_go_together_are_undone_together(db: PostgresDb) -> None:
    def refuse(_: object) -> None:
        raise ContentionError("no")

    first = writes.create_session(session())
    with pytest.raises(ContentionError):
        await db.write(first, beside=Write(("", ""), (), refuse))
    assert await db.store(ALICE).find_sessions("s") == []
    assert await db.write(first, beside=work_writes.raise_work()) is True
