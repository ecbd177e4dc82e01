"""Giving: what outlives a request is given to nobody who has been revoked meanwhile.

A revocation is in force on every replica within a second, and a request may be under way when it
comes. So whoever asks for something that lasts is looked up in the database: before it is written,
and once more after it, where a revocation that came in between is found. What was given in that
moment is taken back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from licet.authn.principal import Principal
from licet.errors import LicetError

T = TypeVar("T")


class Giving:
    """Gives away what lasts. ``check`` raises for whoever has no authority, by the database."""

    def __init__(self, check: Callable[[Principal], Awaitable[None]]) -> None:
        self._check = check
        self._under_way: set[asyncio.Task[Any]] = set()

    async def give(
        self,
        principal: Principal,
        make: Callable[[], Awaitable[T]],
        *,
        take_back: Callable[[T], Awaitable[object]],
    ) -> T:
        """What ``make`` answers; taken back where the principal turns out to have lost authority.

        It is brought to its end also if the caller is cancelled meanwhile, who misses the answer.

        Raises:
            AuthorityLostError: it was lost; nothing is left of it.
            StorageError: it cannot be told whether it was, or nothing could be written.
        """

        async def given() -> T:
            await self._check(principal)
            made = await make()
            try:
                await self._check(principal)
            except LicetError:
                await take_back(made)
                raise
            return made

        task = asyncio.get_running_loop().create_task(given())
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            # Looked at: where the caller has left, nobody else does, and it is no error.
            task.exception()
