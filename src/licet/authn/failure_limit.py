"""FailureLimit: who guesses too often waits."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

MAX_CLIENTS = 10_000


@dataclass(slots=True)
class _Window:
    began: float
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Attempt:
    """What counts as a failure until it is known to be none."""

    _window: _Window

    def was_none(self) -> None:
        """It has not failed: it does not count any more. To be called once."""
        self._window.failures -= 1


class FailureLimit:
    """Counts failures of each client in windows of time. Bounded in memory.

    What takes time is counted when it begins: of many at once, too, no more than ``max_failures``
    are under way.

    Args:
        max_failures: how many a client has in one window.
        window_seconds: how long a window is; it begins with the first failure.
        max_clients: how many are remembered; who has not failed for longest is forgotten first.
        monotonic: gives seconds.
    """

    def __init__(
        self,
        *,
        max_failures: int = 20,
        window_seconds: float = 60.0,
        max_clients: int = MAX_CLIENTS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_failures = max_failures
        self._window_seconds = window_seconds
        self._max_clients = max_clients
        self._monotonic = monotonic
        self._windows: OrderedDict[str, _Window] = OrderedDict()

    def __len__(self) -> int:
        return len(self._windows)

    def is_reached(self, client: str | None) -> bool:
        """Whether the client has failed too often in its window."""
        window = self._windows.get(_network(client))
        return (
            window is not None
            and window.failures >= self._max_failures
            and self._monotonic() - window.began < self._window_seconds
        )

    def failed(self, client: str | None) -> Attempt:
        """Count a failure, or what may turn out to be one."""
        key, now = _network(client), self._monotonic()
        window = self._windows.get(key)
        if window is None or now - window.began >= self._window_seconds:
            window = self._windows[key] = _Window(began=now)
        window.failures += 1
        self._windows.move_to_end(key)
        if len(self._windows) > self._max_clients:
            self._windows.popitem(last=False)
        return Attempt(window)


def _network(client: str | None) -> str:
    """A client's address; of IPv6 the network of 64 bits, all of which one machine may use."""
    try:
        address = ipaddress.ip_address(client or "")
    except ValueError:
        return client or ""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(getattr(address, "ipv4_mapped", None) or address)
