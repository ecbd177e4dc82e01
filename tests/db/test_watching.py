"""Databases that several processes share: what one changes, the others see, and it counts once."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from licet.db.sql_db import SqlDb
from licet.db.trust_records import TRUST_TOPIC
from licet.db.watching import Waiters, wait_for_change
from licet.errors import StorageError
from tests.contract.trust_rows import everything, number_of, revocation
from tests.contract.watches import until, waiters_of, watching
from tests.db.conftest import db_of, wait_until

BEGIN = """
import asyncio, sys
from licet.db.trust_records import TRUST_TOPIC
from tests.contract.trust_rows import account, revocation
from tests.db.conftest import db_of

async def main():
    db = db_of(sys.argv[1])
    await db.open()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
"""
WATCHES = (
    BEGIN
    + """
    seen = 0
    while seen < 3:
        seen = await db.watch(TRUST_TOPIC, after=seen, timeout_seconds=60)
        print("seen", seen, flush=True)
    await db.close()

asyncio.run(main())
"""
)
WANTS_ALL = (
    BEGIN
    + """
    trust = db.trust()
    uses = [trust.use_once(revocation(f"jti{n}"), [revocation(f"{n}")]) for n in range(60)]
    made = [trust.create_service_account(account(f"robot{n}")) for n in range(60)]
    outcomes = await asyncio.gather(*uses, *made)
    print(*(int(outcome) for outcome in outcomes))
    await db.close()

asyncio.run(main())
"""
)
NEVER_CLOSES = """
import asyncio, sys
from licet.db.trust_records import TRUST_TOPIC
from tests.db.conftest import db_of

db = db_of(sys.argv[1])
for _ in range(2):
    asyncio.run(db.watch(TRUST_TOPIC, after=0, timeout_seconds=0.1))
"""


class Child:
    """A process that waits until it is told to go."""

    def __init__(self, popen: subprocess.Popen[str]) -> None:
        self.popen = popen

    def line(self) -> str:
        assert self.popen.stdout is not None
        return self.popen.stdout.readline().strip()

    def go(self) -> None:
        assert self.popen.stdin is not None
        self.popen.stdin.write("go\n")
        self.popen.stdin.flush()


@contextmanager
def children(script: str, url: str, count: int) -> Iterator[list[Child]]:
    """Processes that have opened the database; ended with the block."""
    started = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", script, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(count)
    ]
    try:
        made = [Child(popen) for popen in started]
        assert [child.line() for child in made] == ["ready"] * count
        yield made
    finally:
        for popen in started:
            popen.kill()
            popen.communicate()


def threads_of(db: SqlDb) -> list[str]:
    return [thread.name for thread in threading.enumerate() if db.id in thread.name]


async def test_another_process_sees_every_change_within_a_second(url: str) -> None:
    db = db_of(url)
    await db.open()
    with children(WATCHES, url, 1) as (child,):
        child.go()
        seconds = []
        for number in (1, 2, 3):
            await db.trust().add_revocations([revocation(f"{number}")])
            began = time.monotonic()
            assert await asyncio.to_thread(child.line) == f"seen {number}"
            seconds.append(time.monotonic() - began)
        # The middle one: with the first the child loads what reads, and other tests run beside it.
        assert sorted(seconds)[1] < 1
        assert await asyncio.to_thread(child.popen.wait, 30) == 0
    await db.close()


def test_of_several_processes_exactly_one_uses_each_value_and_makes_each_name(url: str) -> None:
    with children(WANTS_ALL, url, 3) as started:
        for child in started:
            child.go()
        outcomes = [list(map(int, child.line().split())) for child in started]
        assert [child.popen.wait(30) for child in started] == [0] * 3
    assert [sum(each) for each in zip(*outcomes, strict=True)] == [1] * 120
    db = db_of(url)
    found = asyncio.run(everything(db))
    assert len(found.revocations) == 120
    assert len(found.service_accounts) == 60
    asyncio.run(db.close())


async def test_who_watches_is_told_at_once_that_the_db_is_closed(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    db = db_of(url)
    monkeypatch.setattr(db._backend, "poll_seconds", 3600.0)
    number = await number_of(db)
    tasks = [await watching(db, number) for _ in range(3)]
    waiters = waiters_of(db)
    await db.close()
    outcomes = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)
    assert [str(outcome) for outcome in outcomes] == [f"database {db.id!r} is closed"] * 3
    assert all(isinstance(outcome, StorageError) for outcome in outcomes)
    assert len(waiters) == 0
    assert threads_of(db) == []


async def test_a_db_that_is_watched_and_then_forgotten_leaves_no_thread(url: str) -> None:
    db = db_of(url)
    number = await number_of(db)
    task = await watching(db, number)
    known = db.id
    assert [t for t in threading.enumerate() if known in t.name] != []
    task.cancel()
    await asyncio.wait({task})
    del db, task
    gc.collect()
    await asyncio.to_thread(
        wait_until,
        lambda: not [t for t in threading.enumerate() if known in t.name],
        what="the threads have ended",
    )


def test_a_program_that_watched_and_never_closes_ends_by_itself(url: str) -> None:
    command = [sys.executable, "-W", "error", "-c", NEVER_CLOSES, url]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


async def test_a_missing_number_fails_whoever_reads_or_changes(url: str) -> None:
    from sqlalchemy import delete

    from licet.db.migrating import bring_up_to_date
    from licet.db.tables import changes

    db = db_of(url)
    backend = db._backend
    backend.prepare()
    bring_up_to_date(backend)
    engine = backend.migrating()
    with engine.begin() as connection:
        connection.execute(delete(changes))
    engine.dispose()
    with pytest.raises(StorageError, match="no topic"):
        await db.watch(TRUST_TOPIC, after=0, timeout_seconds=60)
    with pytest.raises(StorageError, match="no topic"):
        await db.trust().changes(after=0)
    with pytest.raises(StorageError, match="not stored"):
        await db.trust().add_revocations([revocation()])
    await db.close()


async def test_only_who_waits_for_the_topic_is_woken() -> None:
    waiters = Waiters()
    with waiters.waiting("a") as a, waiters.waiting("b") as b:
        waiters.wake("a")
        await until(a.is_set)
        assert not b.is_set()
        waiters.wake(None)
        await until(b.is_set)
    assert len(waiters) == 0


async def test_a_wake_while_the_number_is_read_is_not_lost() -> None:
    waiters, numbers = Waiters(), iter([0, 1])

    async def read() -> int:
        number = next(numbers)
        with waiters.waiting("topic") as beside:
            waiters.wake("topic")
            await beside.wait()
        return number

    began = time.monotonic()
    found = await wait_for_change(
        waiters, "topic", read, after=0, timeout_seconds=60, poll_seconds=None
    )
    assert found == 1
    assert time.monotonic() - began < 30
