"""Audit events with whatever values, and sinks that a test looks into."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from hypothesis import strategies as st

from licet.audit.anchors import Anchor
from licet.audit.event import AuditEvent

DEADLINE_SECONDS = 20.0


def event(number: int = 1, **values: Any) -> AuditEvent:
    """An allowed request. By default later ones have later times."""
    return AuditEvent(
        **{
            "time_us": 1_000 + number,
            "request_id": f"request-{number}",
            "kind": "request",
            "decision": "allow",
            "status": None,
            "reason": "the caller holds agents:run",
            "rule": "scope:agents:run",
            "issuer_alias": "default",
            "subject": "olga",
            "credential": "jwt",
            "token_id": "t-1",
            "action": "agents:run",
            "resource": "agents",
            "resource_id": "alpha",
            "method": "POST",
            "route": "/agents/{agent_id}/runs",
            "client": "127.0.0.1",
            "latency_us": 120,
            **values,
        }
    )


def events(first: int, last: int) -> list[AuditEvent]:
    """Events from the first number to the last."""
    return [event(number) for number in range(first, last + 1)]


_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_NUMBERS = st.integers(-(2**63) + 1, 2**63 - 1)
_OF_FIELD = {"time_us": _NUMBERS, "latency_us": _NUMBERS, "status": st.none() | _NUMBERS}
_OPTIONAL = ("issuer_alias", "subject", "token_id", "action", "resource", "resource_id", "client")


def values_of(name: str) -> st.SearchStrategy[Any]:
    """Whatever a field may hold."""
    texts = st.none() | _TEXTS if name in _OPTIONAL else _TEXTS
    return _OF_FIELD.get(name, texts)


def any_event() -> st.SearchStrategy[AuditEvent]:
    """Whatever an event may be."""
    fields = {name: values_of(name) for name in AuditEvent.__struct_fields__}
    return st.builds(AuditEvent, **fields)


class KeptAnchors:
    """Keeps anchors in a list; fails while it is told to."""

    def __init__(self) -> None:
        self.anchors: list[Anchor] = []
        self.fails = False

    async def keep(self, anchor: Anchor) -> None:
        if self.fails:
            raise OSError("the other place is away")
        self.anchors.append(anchor)

    @property
    def seqs(self) -> list[int]:
        """How far each of them reaches."""
        return [anchor.seq for anchor in self.anchors]


class ListSink:
    """A sink that a test can look into, hold and break."""

    def __init__(self) -> None:
        self.kept: list[AuditEvent] = []
        self.batches: list[int] = []
        self.calls: list[str] = []
        self.failures: list[Exception] = []
        self.tries: list[list[AuditEvent]] = []
        self.free = asyncio.Event()
        self.free.set()

    async def start(self) -> None:
        self.calls.append("start")

    async def write(self, events: Sequence[AuditEvent]) -> None:
        self.tries.append(list(events))
        await self.free.wait()
        if self.failures:
            raise self.failures.pop(0)
        self.kept.extend(events)
        self.batches.append(len(events))

    async def close(self) -> None:
        self.calls.append("close")

    @property
    def ids(self) -> list[str]:
        """The request ids that were kept."""
        return [event.request_id for event in self.kept]


async def until(holds: Callable[[], bool], *, what: str) -> None:
    """Let others work until a condition holds."""

    async def answer() -> bool:
        return holds()

    await until_told(answer, what=what)


async def until_told(holds: Callable[[], Awaitable[bool]], *, what: str) -> None:
    """The same, of a condition that has to be asked for."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not await holds():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        await asyncio.sleep(0.002)
