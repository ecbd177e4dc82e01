"""Silence: between two frames that somebody waits for, and whether it lasts too long."""

from __future__ import annotations

import asyncio


class Silence:
    """Waited through again and again by one reader. One timer serves many silences: most are short.

    Args:
        idle_seconds: how long one may last.
    """

    __slots__ = ("_began", "_broken", "_idle_seconds", "_loop", "_timer")

    def __init__(self, idle_seconds: float) -> None:
        self._idle_seconds = idle_seconds
        self._loop = asyncio.get_running_loop()
        self._began = 0.0
        self._broken: asyncio.Future[bool] | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def broken(self) -> bool:
        """Wait until it is ended. False: it has lasted too long."""
        self._began = self._loop.time()
        self._broken = self._loop.create_future()
        if self._timer is None:
            self._timer = self._loop.call_later(self._idle_seconds, self._look)
        return await self._broken

    def end(self) -> None:
        """Something is said."""
        self._resolve(True)

    def close(self) -> None:
        """Nobody waits any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        """It was set for an earlier silence, perhaps: then it is set anew, for what is left."""
        left = self._began + self._idle_seconds - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._look)
        else:
            self._timer = None
            self._resolve(False)

    def _resolve(self, broken: bool) -> None:  # noqa: FBT001 - the one thing that it says
        if self._broken is not None and not self._broken.done():
            self._broken.set_result(broken)
