from __future__ import annotations

import asyncio

import pytest

from licet.os.own_tasks import OwnTasks


class Work:
    """Goes on until the gate opens; counts how often it was begun and ended."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.begun = self.ended = 0

    async def __call__(self) -> None:
        self.begun += 1
        try:
            await self.gate.wait()
        finally:
            self.ended += 1


async def test_of_each_name_there_is_one_at_a_time() -> None:
    tasks, work = OwnTasks(), Work()
    first = tasks.run("a", work)
    assert tasks.run("a", work) is first
    assert tasks.run("b", work) is not first
    work.gate.set()
    await first
    again = tasks.run("a", work)
    assert again is not first
    await again
    assert work.begun == 3


async def test_what_was_let_go_goes_on_beside_the_next() -> None:
    tasks, work = OwnTasks(), Work()
    first = tasks.run("a", work)
    tasks.let_go("a")
    tasks.let_go("a")
    second = tasks.run("a", work)
    assert second is not first
    await asyncio.sleep(0)
    assert (work.begun, work.ended) == (2, 0)
    await tasks.cancel()


async def test_all_are_cancelled_also_what_was_let_go_and_what_failed() -> None:
    tasks, work = OwnTasks(), Work()

    async def broken() -> None:
        raise ZeroDivisionError

    running = [tasks.run("a", work)]
    tasks.let_go("a")
    running.append(tasks.run("a", work))
    failed = tasks.run("b", broken)
    await asyncio.sleep(0)
    await tasks.cancel()
    assert work.ended == 2
    assert all(task.cancelled() for task in running)
    with pytest.raises(ZeroDivisionError):
        failed.result()
