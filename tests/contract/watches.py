"""Watches that have begun, and what is known of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from licet.db.base import Db
from licet.db.in_memory import InMemoryDb
from licet.db.sql_db import SqlDb
from licet.db.trust_records import TRUST_TOPIC
from licet.db.watching import Waiters

DEADLINE_SECONDS = 30.0


def waiters_of(db: Db) -> Waiters:
    """Who waits at a Db that is open."""
    if isinstance(db, InMemoryDb):
        return db._topics.waiters
    assert isinstance(db, SqlDb)
    assert db._open_parts is not None
    return db._open_parts._waiters


async def until(holds: Callable[[], bool]) -> None:
    """Let others work until a condition holds."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.001)


async def watching(db: Db, after: int) -> asyncio.Task[int]:
    """A watch that has begun to wait."""
    before = len(waiters_of(db))
    task = asyncio.create_task(db.watch(TRUST_TOPIC, after=after, timeout_seconds=DEADLINE_SECONDS))
    await until(lambda: len(waiters_of(db)) > before)
    return task
