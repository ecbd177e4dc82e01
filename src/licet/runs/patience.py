"""Patience: a durable run waits for its database, however long that is away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from licet.errors import StorageUnavailableError

logger = logging.getLogger(__name__)

T = TypeVar("T")

_TRY_AGAIN_SECONDS = 0.5


async def patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask a database again and again while it is away."""
    while True:
        try:
            return await ask()
        except StorageUnavailableError as error:
            logger.warning("a durable run waits for the database: %s", error)
            await asyncio.sleep(_TRY_AGAIN_SECONDS)
