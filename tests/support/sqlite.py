"""SQLite files that have their tables already."""

from __future__ import annotations

import asyncio
import functools
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from licet.db.sqlite import SqliteDb


def migrated(path: Path) -> Path:
    """Put a database with tables and no rows there: making them takes longer than most tests."""
    path.touch(mode=0o600)
    path.write_bytes(_content())
    return path


@functools.cache
def _content() -> bytes:
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1) as thread:
        path = Path(folder) / "licet.db"
        # A thread has no event loop yet, whoever asks.
        thread.submit(asyncio.run, _open_and_close(SqliteDb(path))).result()
        return path.read_bytes()


async def _open_and_close(db: SqliteDb) -> None:
    await db.open()
    await db.close()
