"""One request and its answer, tried again while nothing of it has been shown."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from licet.errors import ModelError, ModelUnavailableError
from licet.models.base import ModelResponse, OnText
from licet.models.openai.decode import AnswerDecoder, cut_off
from licet.models.openai.failure import Failures
from licet.models.openai.retry import RetryPolicy
from licet.models.openai.sse import EventSplitter, EventTooLargeError
from licet.models.openai.transport import Body, Reply, Transport

MAX_RESPONSE_BYTES = 32 * 1024 * 1024
_MAX_ERROR_BYTES = 64 * 1024
_DRAIN_SECONDS = 0.1
"""How long the end of the content is waited for after ``[DONE]``, to keep the connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """How one model talks with its server."""

    transport: Transport
    max_retries: int
    retry_policy: RetryPolicy

    async def run(
        self, body: Body, *, on_text: OnText | None, on_reasoning: OnText | None
    ) -> ModelResponse:
        """The answer to one request.

        Raises:
            ModelError: there is none, also after ``max_retries`` further attempts.
        """
        retries_done = 0
        while True:
            attempt = _Attempt(self.transport, on_text=on_text, on_reasoning=on_reasoning)
            try:
                return await attempt.run(body)
            except ModelError as error:
                if not error.retryable or attempt.shown or retries_done >= self.max_retries:
                    raise
                delay = self.retry_policy.delay_seconds(retries_done, attempt.headers)
                if delay is None:
                    raise
            retries_done += 1
            await self.retry_policy.sleep(delay)


@dataclass(slots=True)
class _Attempt:
    transport: Transport
    on_text: OnText | None = field(kw_only=True)
    on_reasoning: OnText | None = field(kw_only=True)
    headers: Mapping[str, str] = field(default_factory=dict)
    decoder: AnswerDecoder | None = None

    @property
    def shown(self) -> bool:
        return self.decoder is not None and self.decoder.shown

    async def run(self, body: Body) -> ModelResponse:
        reply, failures = await self.transport.open(body)
        try:
            self.headers = reply.headers
            if reply.status != 200:  # noqa: PLR2004 - HTTP's own number
                content = await _read_all(reply, failures, _MAX_ERROR_BYTES, cut=True)
                raise failures.status(reply.status, content, reply.headers)
            self.decoder = decoder = AnswerDecoder(
                failures=failures,
                new_call_id=_new_call_id,
                on_text=self.on_text,
                on_reasoning=self.on_reasoning,
            )
            # A server that cannot stream may answer a request for a stream with plain JSON.
            is_json = reply.headers.get("content-type", "").startswith("application/json")
            if body.stream and not is_json:
                await _read_stream(reply, failures, decoder)
                await _drain(reply)
            else:
                decoder.decode(await _read_all(reply, failures, MAX_RESPONSE_BYTES))
            return decoder.response(request_id=failures.request_id)
        finally:
            await reply.aclose()


async def _read_stream(reply: Reply, failures: Failures, decoder: AnswerDecoder) -> None:
    splitter = EventSplitter()
    try:
        while piece := await reply.read_piece():
            for payload in splitter.feed(piece):
                if payload == b"[DONE]":
                    return
                decoder.decode(payload)
        rest = splitter.finish()
    except EventTooLargeError as error:
        raise failures.protocol(str(error)) from None
    if rest == [b"[DONE]"]:
        return
    # Half an event at the end is never decoded: the answer is cut off, unless it was finished.
    if decoder.finish_reason is None:
        raise cut_off(failures)


async def _read_all(
    reply: Reply, failures: Failures, max_bytes: int, *, cut: bool = False
) -> bytes:
    content = bytearray()
    while piece := await reply.read_piece():
        content += piece
        if len(content) > max_bytes:
            if cut:
                break
            raise failures.protocol(f"an answer of more than {max_bytes} bytes")
    return bytes(content[:max_bytes])


async def _drain(reply: Reply) -> None:
    try:
        async with asyncio.timeout(_DRAIN_SECONDS):
            while await reply.read_piece():
                pass
    except (TimeoutError, ModelUnavailableError):
        return


def _new_call_id() -> str:
    return f"call_{os.urandom(12).hex()}"
