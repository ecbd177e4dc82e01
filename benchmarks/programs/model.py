"""The model server of the measurements: OpenAI's chat completions, for few instructions.

``model.py PORT TOKENS TOKENS_A_SECOND``. At 0 tokens a second the whole answer is sent at once.
Else each token goes out at its time, counted from the request, and says when that was, in a text
about as long as a token's: the last six digits, to the base 36, of the microseconds of
``time.monotonic_ns``, which is one clock for all processes of a machine.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import httptools
import msgspec
import uvloop

from licet.testing.openai_script import Answer, numbered_text, plain_response, stream_events

STAMP = "STAMP"
_DIGITS = b"0123456789abcdefghijklmnopqrstuvwxyz"


class Asked(msgspec.Struct):
    """What is read of a request."""

    stream: bool = False


class Answers:
    """What is sent, ready for the wire."""

    def __init__(self, tokens: int, tokens_a_second: float) -> None:
        text = numbered_text(tokens)
        answer = Answer(text=text)
        self.plain = _whole("application/json", plain_response(answer, "scripted"))
        self.streamed = _whole("text/event-stream", b"".join(stream_events(answer, "scripted")))
        self.tokens = tokens
        self.every_seconds = 1 / tokens_a_second if tokens_a_second else 0.0
        stamped = stream_events(Answer(text=STAMP, output_tokens=tokens), "scripted")
        self.first, token, *rest = stamped
        self.before, self.after = token.split(STAMP.encode())
        self.last = b"".join(rest)


def stamp(time_us: int) -> bytes:
    """The text of a token that is sent at a time: ``00zik0`` and a space."""
    text = bytearray(b"000000 ")
    for place in range(5, -1, -1):
        time_us, digit = divmod(time_us, 36)
        text[place] = _DIGITS[digit]
    return bytes(text)


def _whole(kind: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Connection(asyncio.Protocol):
    """One client, who asks one thing at a time."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._parser = httptools.HttpRequestParser(self)
        self._body = b""
        self._sent = 0
        self._began = 0.0
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: Any) -> None:
        """Somebody came."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Somebody asks."""
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        """A piece of what is asked."""
        self._body += body

    def on_message_complete(self) -> None:
        """Answer."""
        asked = msgspec.json.decode(self._body, type=Asked) if self._body else Asked()
        self._body = b""
        if not asked.stream:
            self._write(self._answers.plain)
        elif not self._answers.every_seconds:
            self._write(self._answers.streamed)
        else:
            head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
            self._write(head + b"transfer-encoding: chunked\r\n\r\n" + _chunk(self._answers.first))
            self._sent, self._began = 0, asyncio.get_running_loop().time()
            self._later()

    def _later(self) -> None:
        # Counted from the beginning: a token that is late makes no other one late.
        at = self._began + (self._sent + 1) * self._answers.every_seconds
        asyncio.get_running_loop().call_at(at, self._send)

    def _send(self) -> None:
        answers = self._answers
        token = answers.before + stamp(time.monotonic_ns() // 1000) + answers.after
        self._write(_chunk(token))
        self._sent += 1
        if self._sent < answers.tokens:
            self._later()
        else:
            self._write(_chunk(answers.last) + b"0\r\n\r\n")

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)


async def serve(port: int, answers: Answers) -> None:
    """Serve until the process is ended."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(answers), "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(int(sys.argv[1]), Answers(int(sys.argv[2]), float(sys.argv[3]))))
