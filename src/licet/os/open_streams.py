"""OpenStreams: the event streams that are being sent, so that they can say how it all ended."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class OpenStreams:
    """A server that stops cancels its answers first, and stops the runs then.

    Args:
        patience_seconds: how long a stream that was cancelled so waits for its run's last words.
    """

    def __init__(self, *, patience_seconds: float = 0.0) -> None:
        self.patience_seconds = patience_seconds
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def count(self) -> int:
        """How many are being sent."""
        return len(self._tasks)

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Inside of the block the current task sends a stream."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - servers answer each request in a task
        self._tasks.add(task)
        try:
            yield
        finally:
            self._tasks.discard(task)

    async def end(self, *, timeout_seconds: float) -> None:
        """Runs have ended: let what they said reach the clients, before the event loop ends."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_seconds)
