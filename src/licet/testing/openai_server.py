"""A real HTTP server that speaks OpenAI's chat completions, and says what a script tells it.

In a test::

    async with OpenAIServer(Script(sequence=(Answer(text="Hello"),))) as server:
        model = OpenAIChat(base_url=server.base_url)

As a process, which prints its base URL: ``python -m licet.testing.openai_server --tokens 50``.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import contextlib
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
from aiohttp import web

from licet.testing.openai_script import (
    Answer,
    Script,
    error_response,
    load_script,
    numbered_text,
    plain_response,
    stream_events,
)

__all__ = ["OpenAIServer", "Stats", "main"]

_MAX_BODY_BYTES = 64 * 1024 * 1024
_EVENT_STREAM = "text/event-stream"


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """``requests`` came for completions; ``disconnects`` are clients that left before the end."""

    requests: int
    disconnects: int
    connections: int
    open_connections: int


class _Said(msgspec.Struct):
    role: str
    content: str | list[dict[str, Any]] | None = None

    def text(self) -> str:
        if isinstance(self.content, list):
            return "\n".join(str(part.get("text", "")) for part in self.content)
        return self.content or ""


class _Asked(msgspec.Struct):
    messages: list[_Said]
    model: str = ""
    stream: bool = False


_ASKED = msgspec.json.Decoder(_Asked)


class _CountingServer(web.Server):
    connections_made = 0

    def __call__(self) -> Any:
        self.connections_made += 1
        return super().__call__()


class OpenAIServer:
    """A scripted server on loopback, as an async context manager.

    With ``api_key`` other keys are refused (401). The last ``record`` requests are kept. Also
    over HTTP: ``GET /_requests`` (a JSON array of their bodies), ``GET /_stats``.
    """

    def __init__(
        self,
        script: Script | None = None,
        *,
        port: int = 0,
        api_key: str | None = None,
        record: int = 1000,
    ) -> None:
        self.script = Script() if script is None else script
        self._port = port
        self._api_key = api_key
        self._bodies: collections.deque[bytes] = collections.deque(maxlen=record)
        self._next = 0
        self._requests = 0
        self._disconnects = 0
        # By the answer's identity: the script keeps each answer alive, and answers hold dicts.
        self._events: dict[tuple[int, str], tuple[bytes, ...]] = {}
        self._whole: dict[tuple[int, str, bool], bytes] = {}
        self._server: _CountingServer | None = None
        self._runner: web.ServerRunner | None = None

    @property
    def base_url(self) -> str:
        """What to give to a client: ``http://127.0.0.1:<port>/v1``.

        Raises:
            RuntimeError: the server is not running.
        """
        if self._runner is None:
            raise RuntimeError("OpenAIServer has an address only within its async with")
        _, port = self._runner.addresses[0][:2]
        return f"http://127.0.0.1:{port}/v1"

    @property
    def requests(self) -> list[dict[str, Any]]:
        """The bodies of the requests so far, decoded."""
        return [msgspec.json.decode(body) for body in self._bodies]

    def stats(self) -> Stats:
        """Counts so far."""
        return Stats(
            requests=self._requests,
            disconnects=self._disconnects,
            connections=self._server.connections_made if self._server else 0,
            open_connections=len(self._server.connections) if self._server else 0,
        )

    async def __aenter__(self) -> Self:
        # Here, not in the constructor: aiohttp ties both to the event loop.
        self._server = _CountingServer(
            self._handle,
            request_factory=_request,
            handler_cancellation=True,
            access_log=None,
        )
        self._runner = web.ServerRunner(self._server, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method == "POST" and request.path.endswith("/chat/completions"):
            return await self._complete(request)
        if request.method == "GET" and request.path == "/_requests":
            return _json(b"[" + b",".join(self._bodies) + b"]")
        if request.method == "GET" and request.path == "/_stats":
            return _json(msgspec.json.encode(self.stats()))
        return _json(error_response(f"no {request.method} {request.path} here"), status=404)

    async def _complete(self, request: web.BaseRequest) -> web.StreamResponse:
        self._requests += 1
        if self._api_key and request.headers.get("Authorization") != f"Bearer {self._api_key}":
            return _json(
                error_response("Incorrect API key provided", "invalid_api_key"), status=401
            )
        body = await request.read()
        try:
            asked = _ASKED.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return _json(error_response(str(error), "invalid_request_error"), status=400)
        self._bodies.append(body)
        answer = self._answer(asked)
        try:
            return await self._send(request, asked, answer)
        except (asyncio.CancelledError, ConnectionResetError):
            self._disconnects += 1
            raise

    def _answer(self, asked: _Asked) -> Answer:
        if self.script.rules:
            messages = [(message.role, message.text()) for message in asked.messages]
            if (answer := self.script.rule_answer(messages)) is not None:
                return answer
        if self._next < len(self.script.sequence):
            self._next += 1
            return self.script.sequence[self._next - 1]
        return self.script.otherwise

    async def _send(
        self, request: web.BaseRequest, asked: _Asked, answer: Answer
    ) -> web.StreamResponse:
        if answer.fault == "hang" and answer.fault_after == 0:
            await _hang()
        if answer.status != 200:  # noqa: PLR2004 - HTTP's own number
            body = error_response(answer.error, answer.error_code)
            return _json(body, status=answer.status, headers=answer.headers)
        if answer.fault is None and not answer.pause_seconds:
            return web.Response(
                body=self._encoded(asked, answer),
                headers=answer.headers,
                content_type=_EVENT_STREAM if asked.stream else "application/json",
            )
        if asked.stream:
            return await self._stream(request, answer, self._encoded_events(asked, answer))
        await asyncio.sleep(answer.pause_seconds)
        if answer.fault == "disconnect":
            return _disconnect(request)
        if answer.fault in {"error_event", "malformed", "cut_off"}:
            broken = error_response(answer.error, answer.error_code)
            return _json(broken if answer.fault == "error_event" else b'{"choices": [{"mess')
        return _json(self._encoded(asked, answer), headers=answer.headers)

    async def _stream(
        self, request: web.BaseRequest, answer: Answer, events: Sequence[bytes]
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={**answer.headers, "Content-Type": _EVENT_STREAM})
        await response.prepare(request)
        whole = answer.fault is None
        for event in events if whole else events[: answer.fault_after]:
            await response.write(event)
            if answer.pause_seconds:
                await asyncio.sleep(answer.pause_seconds)
        if answer.fault == "hang":
            await _hang()
        elif answer.fault == "disconnect":
            return _disconnect(request, response)
        elif answer.fault == "malformed":
            await response.write(b'data: {"choices": [{"del\n\n')
        elif answer.fault == "error_event":
            await response.write(
                b"data: " + error_response(answer.error, answer.error_code) + b"\n\n"
            )
        await response.write_eof()
        return response

    def _encoded(self, asked: _Asked, answer: Answer) -> bytes:
        key = (id(answer), asked.model, asked.stream)
        body = self._whole.get(key)
        if body is None:
            body = (
                b"".join(stream_events(answer, asked.model))
                if asked.stream
                else plain_response(answer, asked.model)
            )
            self._whole[key] = body
        return body

    def _encoded_events(self, asked: _Asked, answer: Answer) -> tuple[bytes, ...]:
        key = (id(answer), asked.model)
        if key not in self._events:
            self._events[key] = stream_events(answer, asked.model)
        return self._events[key]


def _request(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
    loop = asyncio.get_running_loop()
    return web.BaseRequest(
        message, payload, protocol, writer, task, loop, client_max_size=_MAX_BODY_BYTES
    )


def _json(body: bytes, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(body=body, status=status, headers=headers, content_type="application/json")


def _disconnect(
    request: web.BaseRequest, response: web.StreamResponse | None = None
) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return response or web.Response()


async def _hang() -> None:
    """Wait until the client leaves, which cancels the handler."""
    await asyncio.Event().wait()


async def _serve(server: OpenAIServer) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        # Not every platform's loop takes signals; there, an interrupt ends the program.
        with contextlib.suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with server:
        sys.stdout.write(f"{server.base_url}\n")
        sys.stdout.flush()
        await stop.wait()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the server as a process: ``--help`` tells the options."""
    parser = argparse.ArgumentParser(prog="python -m licet.testing.openai_server")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--script", type=Path, help="a JSON file: rules, sequence, otherwise")
    parser.add_argument("--tokens", type=int, default=50, help="of the answer without a script")
    parser.add_argument("--pause-ms", type=float, default=0.0, help="between its tokens")
    parser.add_argument("--record", type=int, default=1000, help="requests to keep")
    chosen = parser.parse_args(arguments)
    if chosen.script is None:
        text = numbered_text(chosen.tokens)
        answer = Answer(text=text, pause_seconds=chosen.pause_ms / 1000)
        script = Script(otherwise=answer)
    else:
        script = load_script(chosen.script)
    server = OpenAIServer(script, port=chosen.port, record=chosen.record)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(server))


def _loop_factory() -> Any:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


if __name__ == "__main__":
    main()
