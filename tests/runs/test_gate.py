from __future__ import annotations

import asyncio

from licet.runs.gate import WorkGate


class Hearing:
    """Whether this process is heard of."""

    def __init__(self, *, heard: bool = True) -> None:
        self.event = asyncio.Event()
        if heard:
            self.event.set()

    async def wait(self) -> None:
        await self.event.wait()


async def passes_on() -> None:
    """Let everybody come as far as they can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_step_passes_while_the_process_is_heard_of() -> None:
    gate = WorkGate(Hearing().wait)
    await gate.passed()


async def test_a_step_waits_while_the_process_is_not_heard_of() -> None:
    hearing = Hearing(heard=False)
    gate = WorkGate(hearing.wait)
    step = asyncio.ensure_future(gate.passed())
    await passes_on()
    assert not step.done()
    hearing.event.set()
    await asyncio.wait_for(step, 5)


async def test_no_step_passes_a_closed_gate_and_the_one_that_waits_is_told() -> None:
    gate = WorkGate(Hearing().wait)
    gate.close()
    reached = asyncio.ensure_future(gate.reached())
    await passes_on()
    assert not reached.done()
    step = asyncio.ensure_future(gate.passed())
    await asyncio.wait_for(reached, 5)
    assert not step.done()
    step.cancel()


async def test_a_gate_that_closes_while_a_step_waits_to_be_heard_of_lets_it_through_no_more() -> (
    None
):
    hearing = Hearing(heard=False)
    gate = WorkGate(hearing.wait)
    step = asyncio.ensure_future(gate.passed())
    await passes_on()
    gate.close()
    # It never will: nobody waits for a database that is away.
    await asyncio.wait_for(gate.reached(), 5)
    hearing.event.set()
    await passes_on()
    assert not step.done()
    step.cancel()


async def test_the_gate_is_not_reached_while_a_step_beside_the_one_that_waits_is_under_way() -> (
    None
):
    gate = WorkGate(Hearing().wait)
    await gate.passed()
    await gate.passed()
    gate.close()
    waiting = asyncio.ensure_future(gate.passed())
    reached = asyncio.ensure_future(gate.reached())
    gate.ended()
    await passes_on()
    assert not reached.done()
    gate.ended()
    await asyncio.wait_for(reached, 5)
    waiting.cancel()


async def test_a_step_that_is_cancelled_while_it_waits_waits_no_longer() -> None:
    gate = WorkGate(Hearing().wait)
    gate.close()
    step = asyncio.ensure_future(gate.passed())
    await passes_on()
    step.cancel()
    await passes_on()
    reached = asyncio.ensure_future(gate.reached())
    await passes_on()
    assert not reached.done()
    reached.cancel()
