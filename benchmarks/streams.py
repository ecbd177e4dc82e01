"""Streams from a model that says in each token when it was sent: what a server adds to that."""

from __future__ import annotations

import re
import time

# The text of a token is the time at which the model server sent it (programs/model.py): "00zik0 ".
_STAMP = re.compile(rb'"content":\s*"([0-9a-z]{6}) "')
_BASE = 36
_WRAPS_US = _BASE**6
_DROPPED = b"events_dropped"
_END = re.compile(rb"event: RunCompleted\n|data: \[DONE\]\n")


class TimedStream:
    """One stream, read to its end: how long each token took from the model to the client.

    Args:
        request: asks for the stream.
        tokens: how many have to come.
    """

    def __init__(self, request: bytes, *, tokens: int) -> None:
        self.delays_ms: list[float] = []
        self._request: bytes | None = request
        self._tokens = tokens
        self._rest = b""
        self._last = b""
        self._last_sent_us = -_WRAPS_US

    @property
    def lost(self) -> int:
        """How many tokens have not come."""
        return self._tokens - len(self.delays_ms)

    def request(self) -> bytes | None:
        """The one request."""
        request, self._request = self._request, None
        return request

    def piece(self, data: bytes) -> None:
        """Look at the stamps in what has come. An event may come in pieces."""
        now_us = time.monotonic_ns() // 1000
        data = self._rest + data
        end = data.rfind(b"\n\n") + 2 if b"\n\n" in data else 0
        whole, self._rest = data[:end], data[end:]
        assert _DROPPED not in whole, whole
        for stamp in _STAMP.findall(whole):
            # Of the clock the last digits: it begins anew after half an hour.
            delay_us = (now_us - int(stamp, _BASE)) % _WRAPS_US
            sent_us = now_us - delay_us
            assert sent_us > self._last_sent_us, "tokens are out of order"
            self._last_sent_us = sent_us
            self.delays_ms.append(delay_us / 1000)
        self._last = whole or self._last

    def ended(self, status: int) -> None:
        """The stream is over. A token that was lost is not raised: how many there are is told."""
        assert status == 200, status
        assert not self._rest, self._rest
        assert _END.search(self._last), self._last
