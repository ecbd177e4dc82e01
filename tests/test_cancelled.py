from __future__ import annotations

import asyncio
import threading

from licet.cancelled import Cancelled


def test_it_is_false_until_the_run_is_stopped_and_says_why_then() -> None:
    cancelled = Cancelled()
    assert not cancelled
    assert cancelled.reason is None
    cancelled.set("cancelled by olga")
    cancelled.set("the server was stopped")
    assert cancelled
    assert cancelled.reason == "cancelled by olga"


def test_a_thread_that_waits_is_woken() -> None:
    cancelled, heard = Cancelled(), threading.Event()

    def work() -> None:
        if cancelled.wait_in_thread(20):
            heard.set()

    thread = threading.Thread(target=work)
    thread.start()
    cancelled.set("cancelled")
    assert heard.wait(20)
    thread.join()


def test_a_thread_waits_no_longer_than_it_wants() -> None:
    assert not Cancelled().wait_in_thread(0.001)


async def test_tasks_that_wait_are_woken_from_any_thread() -> None:
    cancelled = Cancelled()
    tasks = [asyncio.ensure_future(cancelled.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    threading.Thread(target=cancelled.set, args=("cancelled",)).start()
    await asyncio.wait_for(asyncio.gather(*tasks), 20)
    await asyncio.wait_for(cancelled.wait(), 20)


async def test_a_task_that_waits_no_longer_leaves_nothing_behind() -> None:
    cancelled = Cancelled()
    task = asyncio.ensure_future(cancelled.wait())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert cancelled._wakers == set()
    cancelled.set("cancelled")


def test_a_loop_that_has_ended_is_not_woken() -> None:
    cancelled, loop = Cancelled(), asyncio.new_event_loop()
    task = loop.create_task(cancelled.wait())
    loop.run_until_complete(asyncio.sleep(0))
    wakers = set(cancelled._wakers)
    assert len(wakers) == 1
    task.cancel()
    loop.run_until_complete(asyncio.wait([task]))
    loop.close()
    cancelled._wakers = wakers
    cancelled.set("cancelled")
    assert cancelled
