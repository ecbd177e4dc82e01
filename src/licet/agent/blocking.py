"""Runs for programs without an event loop: each brings a loop of its own."""

from __future__ import annotations

import asyncio
import contextvars
import queue
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


def run_blocking(make: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """The result of a coroutine, waited for. ``make`` is called where its loop runs."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(make())
    outcome: Future[T] = Future()

    def work() -> None:
        try:
            outcome.set_result(asyncio.run(make()))
        except BaseException as error:  # noqa: BLE001 - handed on to the caller, whole
            outcome.set_exception(error)

    _start(work)
    return outcome.result()


def stream_blocking(make: Callable[[], AsyncIterator[T]]) -> Iterator[T]:
    """The items of an async iterator, as they come. Leaving early cancels it."""
    items: queue.Queue[T | _End] = queue.Queue()
    running: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[None]]] = Future()

    async def drain() -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine of asyncio.run is a task
        running.set_result((asyncio.get_running_loop(), task))
        async with aclosing(make()) as iterator:  # type: ignore[type-var]  # an async generator
            async for item in iterator:
                items.put(item)

    def work() -> None:
        try:
            asyncio.run(drain())
        except BaseException as error:  # noqa: BLE001 - handed on to the reader, whole
            items.put(_End(error))
        else:
            items.put(_End(None))

    thread = _start(work)
    try:
        while not isinstance(got := items.get(), _End):
            yield got
        if got.error is not None:
            raise got.error
    finally:
        if thread.is_alive():
            loop, task = running.result()
            with suppress(RuntimeError):  # the loop has ended by itself meanwhile
                loop.call_soon_threadsafe(task.cancel, "the reader left")
        thread.join()


@dataclass(frozen=True)
class _End:
    """No item follows; ``error`` is what ended it, if anything did."""

    error: BaseException | None


def _start(work: Callable[[], None]) -> threading.Thread:
    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(work,), daemon=True)
    thread.start()
    return thread
