"""Blocking work beside the event loop, in a thread that nobody has to wait for."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")

_MAX_IDLE_THREADS = 32

_Job = Callable[[], None]
_idle: deque[SimpleQueue[_Job]] = deque()

if hasattr(os, "register_at_fork"):
    # A forked child has the queues, but not the threads that would read them.
    os.register_at_fork(after_in_child=_idle.clear)


async def run_in_thread(work: Callable[[], T]) -> T:
    """Run ``work`` in a thread, with the caller's context variables.

    When the caller is cancelled, it is so at once: the thread finishes on its own, and its outcome
    is dropped. Threads are daemons and as many as there is work, so that a hanging call holds up
    neither the program's end nor other calls. (The loop's default executor does both: it is joined
    when the loop closes, and has few threads.) Idle threads are used again: starting one costs
    more than all the rest of a call.

    Args:
        work: what to run; what it raises is raised here.
    """
    loop = asyncio.get_running_loop()
    context = contextvars.copy_context()
    done = asyncio.Event()
    outcome: list[tuple[T | None, BaseException | None]] = []

    def job() -> None:
        try:
            outcome.append((context.run(work), None))
        except BaseException as error:  # noqa: BLE001 - handed on to the caller, whole
            outcome.append((None, error))
        with contextlib.suppress(RuntimeError):  # the loop has closed: nobody listens any more
            loop.call_soon_threadsafe(done.set)

    _start(job)
    await done.wait()
    value, error = outcome[0]
    try:
        if error is not None:
            raise error
        return value  # type: ignore[return-value]  # an outcome without an error is a T
    finally:
        # The error's traceback holds this frame: a cycle, were it not broken here.
        outcome.clear()
        del error


def _start(job: _Job) -> None:
    try:
        jobs = _idle.pop()
    except IndexError:
        jobs = SimpleQueue()
        threading.Thread(target=_work, args=(jobs,), name="licet-tool", daemon=True).start()
    jobs.put(job)


def _work(jobs: SimpleQueue[_Job]) -> None:
    while True:
        jobs.get()()
        if len(_idle) >= _MAX_IDLE_THREADS:
            return
        _idle.append(jobs)
