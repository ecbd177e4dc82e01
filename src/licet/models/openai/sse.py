"""Server-sent events, as far as chat completions use them: the data of each event.

Source: WHATWG HTML, §9.2.6. Names, ids and retry times of events are skipped, comments too; a lone
CR ends no line.
"""

from __future__ import annotations

MAX_EVENT_BYTES = 8 * 1024 * 1024
"""The largest event that is taken; an event is one chunk of an answer."""


class EventTooLargeError(ValueError):
    """An event grew over the limit."""


class EventSplitter:
    """Cuts a byte stream, which arrives in any pieces, into the data of its events."""

    __slots__ = ("_data", "_data_bytes", "_max_event_bytes", "_tail")

    def __init__(self, *, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_event_bytes = max_event_bytes
        self._tail = bytearray()
        self._data: list[bytes] = []
        self._data_bytes = 0

    def feed(self, piece: bytes) -> list[bytes]:
        """The data of the events that ``piece`` completes.

        Raises:
            EventTooLargeError: an event holds more than ``max_event_bytes``.
        """
        if b"\n" not in piece:
            self._tail += piece
            self._check(len(self._tail))
            return []
        if self._tail:
            piece = bytes(self._tail) + piece
            self._tail.clear()
        lines = piece.split(b"\n")
        last = lines.pop()
        if last:
            self._tail += last
            self._check(len(last))
        return self._events(lines)

    def finish(self) -> list[bytes]:
        """What is left when the stream ended without the blank line that ends an event."""
        return self.feed(b"\n\n")

    def _events(self, lines: list[bytes]) -> list[bytes]:
        events: list[bytes] = []
        data = self._data
        for raw in lines:
            line = raw[:-1] if raw[-1:] == b"\r" else raw
            if not line:
                if data:
                    events.append(data[0] if len(data) == 1 else b"\n".join(data))
                    data.clear()
                    self._data_bytes = 0
            elif line.startswith(b"data:"):
                value = line[6:] if line[5:6] == b" " else line[5:]
                data.append(value)
                self._data_bytes += len(value) + 1
                if self._data_bytes > self._max_event_bytes:
                    self._check(self._data_bytes)
        return events

    def _check(self, size_bytes: int) -> None:
        if size_bytes > self._max_event_bytes:
            raise EventTooLargeError(f"an event of more than {self._max_event_bytes} bytes")
