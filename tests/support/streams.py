"""Event streams as clients read them, and models that are held back until a test opens them."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

END = ("RunCompleted", "RunError", "RunCancelled")


class Hold:
    """Holds a model back until somebody opens it, from whatever thread."""

    def __init__(self) -> None:
        self.opened = threading.Event()

    async def wait(self) -> object:
        """Return when it is open."""
        return await asyncio.to_thread(self.opened.wait, 20)


@dataclass(frozen=True)
class Frame:
    """One frame: an event of the run has an index, a notice has none."""

    name: str
    index: int | None
    data: dict[str, Any]


def frames(lines: Iterable[str]) -> Iterator[Frame]:
    """The frames of a stream, as they come; each names its event, and its index, twice."""
    name, index = "", None
    for line in lines:
        field, _, value = line.partition(": ")
        if field == "event":
            name, index = value, None
        elif field == "id":
            index = int(value)
        elif field == "data":
            data = json.loads(value)
            assert (data["event"], data.get("event_index")) == (name, index)
            yield Frame(name, index, data)


def whole(text: str) -> list[Frame]:
    """A stream that has ended."""
    return list(frames(text.split("\n")))


def until(stream: Iterator[Frame], name: str) -> list[Frame]:
    """The frames up to the first of that name."""
    found = []
    for frame in stream:
        found.append(frame)
        if frame.name == name:
            return found
    raise AssertionError(f"no {name} in {[frame.name for frame in found]}")


def names(found: Iterable[Frame]) -> list[str]:
    """Their names."""
    return [frame.name for frame in found]


def ends(found: Iterable[Frame]) -> list[str]:
    """Those that say how the run ended."""
    return [frame.name for frame in found if frame.name in END]
