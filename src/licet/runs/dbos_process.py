"""What DBOS has one of in a process: who holds it, and the context in which its work runs."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Awaitable, Coroutine
from typing import Any, Protocol, TypeVar

from licet.runs.cron import Fire
from licet.runs.engine import Work

T = TypeVar("T")


class Holder(Protocol):
    """Who has the library. Its workflows are registered once a process, and ask the holder."""

    @property
    def work(self) -> Work | None:
        """What is done for a leg of a run; None: it closes."""

    @property
    def fire(self) -> Fire | None:
        """What is done for what is due; None: it closes, or serves no schedules."""


class OneAtATime:
    """Whose configuration the library has in this process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.holder: Holder | None = None


PROCESS = OneAtATime()


def outside_of_a_run(work: Coroutine[Any, Any, T]) -> Awaitable[T]:
    """Do something as if no run were at work: what the engine is asked is then no step of it."""
    return asyncio.get_running_loop().create_task(work, context=contextvars.Context())
