from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from licet.os.ticker import Ticker


class Acted:
    """When something was done."""

    def __init__(self, **given: float) -> None:
        self.at: list[float] = []
        self.ticker = Ticker(self.act, **given)

    def act(self) -> None:
        self.at.append(time.monotonic())

    def shortest_pause(self) -> float:
        return min(b - a for a, b in zip(self.at, self.at[1:], strict=False))


async def until(found: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 20
    while not found():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.001)


async def test_it_acts_at_once() -> None:
    acted = Acted()
    acted.ticker.ask()
    assert len(acted.at) == 1
    acted.ticker.close()


async def test_a_storm_is_a_few_actions_and_the_last_asked_for_is_not_lost() -> None:
    acted = Acted(pause_seconds=0.1, idle_seconds=1000)
    began = time.monotonic()
    while time.monotonic() - began < 0.35:
        acted.ticker.ask()
        asked_at = time.monotonic()
        await asyncio.sleep(0)
    await until(lambda: acted.at[-1] >= asked_at)
    assert 2 <= len(acted.at) <= 6
    assert acted.shortest_pause() >= 0.09
    acted.ticker.close()


async def test_unasked_it_acts_now_and_then_until_it_is_closed() -> None:
    acted = Acted(pause_seconds=0.01, idle_seconds=0.02)
    acted.ticker.ask()
    await until(lambda: len(acted.at) >= 4)
    timer = acted.ticker._timer
    acted.ticker.close()
    assert timer is not None
    assert timer.cancelled()
    assert acted.ticker._timer is None


async def test_what_fails_is_logged_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    tried = 0

    def broken() -> None:
        nonlocal tried
        tried += 1
        raise ZeroDivisionError

    ticker = Ticker(broken, pause_seconds=0.01, idle_seconds=0.01)
    ticker.ask()
    await until(lambda: tried >= 3)
    ticker.close()
    assert "ZeroDivisionError" in caplog.text


def test_in_another_event_loop_it_begins_anew() -> None:
    """A loop that ended without closing it has left a timer behind that never goes off."""
    acted = Acted(pause_seconds=0.01, idle_seconds=0.02)

    async def ask_and_leave() -> None:
        acted.ticker.ask()

    async def ask_and_wait() -> None:
        number = len(acted.at)
        acted.ticker.ask()
        await until(lambda: len(acted.at) >= number + 3)
        acted.ticker.close()

    asyncio.run(ask_and_leave())
    asyncio.run(ask_and_wait())
