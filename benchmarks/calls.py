"""The calls that are measured, and what has to be answered to each: all of it is looked at."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from urllib.parse import urlencode

import msgspec

from licet.testing.openai_script import numbered_text

_FORM = "application/x-www-form-urlencoded"
_sessions = itertools.count()


def http_request(
    method: str, path: str, *, token: str, form: Mapping[str, str] | None = None
) -> bytes:
    """A request as it goes over the wire."""
    body = b"" if form is None else urlencode(form).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {token}"]
    if form is not None:
        lines += [f"Content-Type: {_FORM}", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Get:
    """One request again and again, whose answer never changes."""

    def __init__(self, path: str, *, token: str, containing: bytes = b"") -> None:
        self._request = http_request("GET", path, token=token)
        self._containing = containing
        self._body: bytes | None = None

    def request(self) -> bytes:
        """The request."""
        return self._request

    def check(self, status: int, body: bytes) -> None:
        """It is the same as the first one, which has what it has to contain."""
        assert status == 200, (status, body)
        if self._body is None:
            assert self._containing in body, body
            self._body = body
        assert body == self._body, body


class Run:
    """A run in a session of its own, not streamed."""

    stream = "false"

    def __init__(self, *, token: str, tokens: int, agent: str = "bench") -> None:
        self.tokens = tokens
        self.text = numbered_text(tokens)
        self._token = token
        self._path = f"/agents/{agent}/runs"

    def request(self) -> bytes:
        """The next run."""
        session = f"session-{next(_sessions)}"
        form = {"message": "hello", "stream": self.stream, "session_id": session}
        return http_request("POST", self._path, token=self._token, form=form)

    def check(self, status: int, body: bytes) -> None:
        """It is completed, and says all that the model did."""
        assert status == 200, (status, body)
        run = _RUN.decode(body)
        assert run.status == "COMPLETED", body
        assert run.content == self.text, body


class StreamedRun(Run):
    """A run in a session of its own, streamed."""

    stream = "true"

    def check(self, status: int, body: bytes) -> None:
        """It has one event for each token of the model, and ends with the whole answer."""
        assert status == 200, (status, body)
        events = [_EVENT.decode(data) for data in _DATA.findall(body)]
        # The peer's first one is empty.
        pieces = [e.content for e in events if e.event == "RunContent" and e.content]
        assert len(pieces) == self.tokens, f"{len(pieces)} of {self.tokens} tokens came"
        assert "".join(pieces) == self.text, pieces
        assert events[-1].event == "RunCompleted", events[-1]
        assert events[-1].content == self.text, events[-1]


class ForwardedCall(Run):
    """One call of the model, as the bare proxy passes it on."""

    stream = "true"

    def check(self, status: int, body: bytes) -> None:
        """It has one chunk for each token, and the model's end of the stream."""
        assert status == 200, (status, body)
        *chunks, done = _DATA.findall(body)
        assert done == b"[DONE]", done
        deltas = [c.delta.content for data in chunks for c in _CHUNK.decode(data).choices]
        pieces = [content for content in deltas if content]
        assert len(pieces) == self.tokens, f"{len(pieces)} of {self.tokens} tokens came"
        assert "".join(pieces) == self.text, pieces


class _Run(msgspec.Struct):
    status: str
    content: str


class _Event(msgspec.Struct):
    event: str
    content: str = ""


class _Delta(msgspec.Struct):
    content: str = ""


class _Choice(msgspec.Struct):
    delta: _Delta


class _Chunk(msgspec.Struct):
    choices: list[_Choice]


_RUN = msgspec.json.Decoder(_Run)
_EVENT = msgspec.json.Decoder(_Event)
_CHUNK = msgspec.json.Decoder(_Chunk)
_DATA = re.compile(rb"^data: (.+)$", re.MULTILINE)
