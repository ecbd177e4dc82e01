"""The load: clients each of whom asks when its last answer is whole.

What it can drive is measured, too (``suites/generator.py``).
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from benchmarks.client import drive, run

CLIENTS = 32


class Call(Protocol):
    """A kind of request, and what has to be answered to it."""

    def request(self) -> bytes:
        """One request."""

    def check(self, status: int, body: bytes) -> None:
        """Look at a whole answer.

        Raises:
            AssertionError: it is not what it has to be.
        """


class Window:
    """How long clients ask: for some time after each of them is under way.

    Args:
        clients: how many there are.
        seconds: for how long they ask.
        warm_seconds: for how long they ask before anything counts.
    """

    def __init__(self, clients: int, *, seconds: float, warm_seconds: float) -> None:
        self.warm_until = time.perf_counter() + warm_seconds
        self._waited_for = clients
        self._seconds = seconds
        self._end = math.inf

    def begun(self, now: float) -> None:
        """What one more client is answered counts from now on."""
        self._waited_for -= 1
        if self._waited_for == 0:
            self._end = now + self._seconds

    def is_over(self, now: float) -> bool:
        """Whether nobody asks any longer."""
        return now >= self._end


class Repeated:
    """One kind of request, again and again. Every answer is checked.

    What counts begins with an answer and ends with one: a slow server answers all its clients
    together, and would else be said to do more or less by chance.
    """

    def __init__(self, call: Call, window: Window) -> None:
        self.answers = 0
        self.took_seconds: list[float] = []
        self._call = call
        self._window = window
        self._body: list[bytes] = []
        self._asked = 0.0
        self._began: float | None = None
        self._last = 0.0

    @property
    def rate(self) -> float:
        """Answers a second."""
        assert self._began is not None, "it has not begun"
        return len(self.took_seconds) / (self._last - self._began)

    def request(self) -> bytes | None:
        """The next one, until the window is over."""
        self._asked = time.perf_counter()
        return None if self._window.is_over(self._asked) else self._call.request()

    def piece(self, data: bytes) -> None:
        """Keep a piece."""
        self._body.append(data)

    def ended(self, status: int) -> None:
        """Check the answer, and count it."""
        now, body = time.perf_counter(), b"".join(self._body)
        self._body.clear()
        self._call.check(status, body)
        self.answers += 1
        if self._began is not None:
            self.took_seconds.append(now - self._asked)
            self._last = now
        elif now >= self._window.warm_until:
            self._began = now
            self._window.begun(now)


@dataclass(frozen=True, slots=True)
class Load:
    """What all clients were answered.

    Attributes:
        answers: how many there were in all, also before anything counted.
        took_seconds: how long each took that counts.
        rate: answers a second, the sum of what each client got.
    """

    answers: int
    took_seconds: Sequence[float]
    rate: float


def load(port: int, call: Call, *, seconds: float, clients: int = CLIENTS) -> Load:
    """Let clients ask, each as soon as it has its answer.

    Raises:
        AssertionError: an answer was not what it has to be.
    """
    window = Window(clients, seconds=seconds, warm_seconds=min(1.0, seconds / 4))
    asking = [Repeated(call, window) for _ in range(clients)]
    run(drive(port, asking))
    return Load(
        answers=sum(client.answers for client in asking),
        took_seconds=[took for client in asking for took in client.took_seconds],
        rate=sum(client.rate for client in asking),
    )


def rate(port: int, call: Call, *, seconds: float) -> float:
    """Answers a second, as ``load`` has them."""
    return load(port, call, seconds=seconds).rate
