"""OwnTasks: what somebody has under way in the background, one task of each name at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

Work = Callable[[], Coroutine[Any, Any, Any]]


class OwnTasks:
    """Tasks of one event loop, by name."""

    def __init__(self) -> None:
        self._named: dict[str, asyncio.Task[Any]] = {}
        self._running: set[asyncio.Task[Any]] = set()

    def run(self, name: str, work: Work) -> asyncio.Task[Any]:
        """The task of that name: the one that is under way, else a new one."""
        task = self._named.get(name)
        if task is None or task.done():
            task = asyncio.get_running_loop().create_task(work())
            self._named[name] = task
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return task

    def let_go(self, name: str) -> None:
        """Let the task go on without its name: who asks for it from now on gets another."""
        self._named.pop(name, None)

    async def cancel(self) -> None:
        """Cancel all of them, and wait until they have ended."""
        tasks = list(self._running)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
