from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import subprocess
import sys
import threading
import time
import weakref

import pytest

from licet.tools.thread import run_in_thread

CALLER = contextvars.ContextVar("CALLER", default="nobody")


async def test_work_runs_in_another_thread_and_its_value_comes_back() -> None:
    ran_in = await run_in_thread(threading.current_thread)

    assert ran_in is not threading.current_thread()
    assert ran_in.daemon


async def test_the_callers_context_variables_are_seen() -> None:
    CALLER.set("ada")

    assert await run_in_thread(CALLER.get) == "ada"


async def test_what_work_raises_is_raised() -> None:
    def fail() -> None:
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        await run_in_thread(fail)


async def test_a_raised_error_is_freed_without_the_collector() -> None:
    class Big(Exception):  # noqa: N818 - stands for any error
        pass

    def fail() -> None:
        raise Big

    gc.collect()
    gc.disable()
    try:
        try:
            await run_in_thread(fail)
        except Big as error:
            alive = weakref.ref(error)
        assert alive() is None
    finally:
        gc.enable()


async def test_many_calls_run_at_the_same_time() -> None:
    together = threading.Barrier(100)

    await asyncio.gather(*(run_in_thread(lambda: together.wait(timeout=60)) for _ in range(100)))


async def test_a_cancelled_caller_does_not_wait_for_the_thread() -> None:
    started, release, finished = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        release.wait(timeout=30)
        finished.set()

    task = asyncio.create_task(run_in_thread(work))
    await run_in_thread(lambda: started.wait(timeout=60))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert not finished.is_set()
    release.set()
    assert await run_in_thread(lambda: finished.wait(timeout=60))


async def test_an_idle_thread_is_used_again() -> None:
    # Not the first one in any case: it says that it is done a moment before it is idle.
    seen = set()
    for _ in range(200):
        thread = await run_in_thread(threading.current_thread)
        if thread in seen:
            return
        seen.add(thread)
    pytest.fail("two hundred calls, each in a thread of its own")


async def test_only_some_idle_threads_are_kept() -> None:
    before = threading.active_count()
    together = threading.Barrier(100)
    await asyncio.gather(*(run_in_thread(lambda: together.wait(timeout=60)) for _ in range(100)))

    deadline = time.monotonic() + 30
    while (  # noqa: ASYNC110 - threads that end set no event
        threading.active_count() > before + 40 and time.monotonic() < deadline
    ):
        await asyncio.sleep(0.01)
    assert threading.active_count() <= before + 40


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_starts_threads_of_its_own() -> None:
    program = (
        "import asyncio, os, sys; from licet.tools.thread import run_in_thread as run; "
        "asyncio.run(run(lambda: 1)); "
        "child = os.fork(); "
        "asyncio.run(asyncio.wait_for(run(lambda: 1), 10)); "
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) if child else 0)"
    )

    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0


def test_a_program_ends_while_a_thread_hangs() -> None:
    program = """
import asyncio, contextlib, threading
from licet.tools.thread import run_in_thread

async def main():
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(run_in_thread(threading.Event().wait), 0.1)

asyncio.run(main())
"""

    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0


def test_a_thread_that_outlives_its_loop_ends_quietly() -> None:
    release, finished = threading.Event(), threading.Event()

    def work() -> None:
        release.wait(timeout=30)
        finished.set()

    async def leave_early() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(run_in_thread(work), timeout=0.05)

    asyncio.run(leave_early())
    release.set()
    assert finished.wait(timeout=60)

    async def go_on() -> int:
        return await run_in_thread(lambda: 1)

    assert asyncio.run(go_on()) == 1
