"""WorkGate: whether a step may begin in this process.

None begins while others may have taken over what this process works on, nor once it is to stop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class WorkGate:
    """The steps of one run before the next of them.

    Args:
        heard: waits until this process is heard of.
    """

    def __init__(self, heard: Callable[[], Awaitable[None]]) -> None:
        self._heard = heard
        self._closed = False
        self._waiting = 0
        self._under_way = 0
        self._changed = asyncio.Event()

    async def passed(self) -> None:
        """Wait until a step may begin; once the gate is closed, for ever."""
        self._waiting += 1
        self._changed.set()
        try:
            await self._heard()
            if self._closed:
                await asyncio.get_running_loop().create_future()
        finally:
            self._waiting -= 1
        self._under_way += 1

    def ended(self) -> None:
        """A step that had passed has ended, and is stored where it can be."""
        self._under_way -= 1
        self._changed.set()

    def close(self) -> None:
        """Let no step begin any more."""
        self._closed = True
        self._changed.set()

    async def reached(self) -> None:
        """Wait until a step waits at the closed gate, and none that passed is under way.

        What came before it is stored then.
        """
        while not (self._closed and self._waiting and not self._under_way):
            self._changed.clear()
            await self._changed.wait()
