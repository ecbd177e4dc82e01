"""Retries, and answers in unusual forms, over the wire."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from licet.errors import (
    ModelError,
    ModelProtocolError,
    ModelRequestError,
    ModelUnavailableError,
)
from licet.models.base import OnText
from licet.models.openai import OpenAIChat
from licet.models.openai.retry import RetryPolicy
from licet.testing.openai_script import Answer, Script
from licet.testing.openai_server import OpenAIServer
from tests.models.openai.parts import KEY, Naps, ask, chat, raw_server, unheard


def _say(*answers: Answer) -> OpenAIServer:
    return OpenAIServer(Script(sequence=answers))


@pytest.mark.parametrize(
    "failure",
    [
        Answer(status=408),
        Answer(status=409),
        Answer(status=429),
        Answer(status=500),
        Answer(status=503),
        Answer(status=400, headers={"x-should-retry": "true"}),
        Answer(fault="disconnect", fault_after=0),
        Answer(fault="disconnect", fault_after=1),
        Answer(fault="cut_off", fault_after=1),
    ],
    ids=lambda answer: f"{answer.status}-{answer.fault}",
)
async def test_a_failure_that_may_pass_is_tried_again(failure: Answer) -> None:
    naps, pieces = Naps(), list[str]()
    async with _say(failure, failure, Answer(text="Hello")) as server:
        response = await chat(server, naps).respond(ask(), on_text=pieces.append)

    assert response.text == "Hello"
    assert pieces == ["Hello"]
    assert naps.seconds == [0.5, 1.0]


@pytest.mark.parametrize(
    "failure",
    [
        Answer(status=400),
        Answer(status=401),
        Answer(status=500, headers={"x-should-retry": "false"}),
        Answer(status=429, headers={"retry-after": "3600"}),
        Answer(status=429, error_code="insufficient_quota"),
        Answer(text="a b c", fault="disconnect", fault_after=2),
        Answer(text="a b c", fault="cut_off", fault_after=2),
        Answer(reasoning="hm", fault="disconnect", fault_after=2),
        Answer(fault="malformed", fault_after=1),
    ],
    ids=lambda answer: f"{answer.status}-{answer.fault}",
)
async def test_what_cannot_pass_or_was_shown_is_not_tried_again(failure: Answer) -> None:
    naps, pieces, thoughts = Naps(), list[str](), list[str]()
    async with _say(failure, Answer(text="Hello")) as server:
        with pytest.raises(ModelError):
            await chat(server, naps).respond(
                ask(), on_text=pieces.append, on_reasoning=thoughts.append
            )

        assert server.stats().requests == 1
    assert naps.seconds == []


async def test_the_last_error_comes_out_when_retries_are_spent() -> None:
    naps = Naps()
    async with OpenAIServer(Script(otherwise=Answer(status=503, error="still down"))) as server:
        with pytest.raises(ModelUnavailableError, match="still down"):
            await chat(server, naps, max_retries=3).respond(ask())

        assert server.stats().requests == 4
    assert naps.seconds == [0.5, 1.0, 2.0]


async def test_the_delay_that_the_server_asks_for_is_kept() -> None:
    naps = Naps()
    async with _say(Answer(status=429, headers={"retry-after-ms": "1500"}), Answer()) as server:
        await chat(server, naps).respond(ask())

    assert naps.seconds == [1.5]


async def test_a_cancelled_run_does_not_wait_for_its_retry() -> None:
    waiting = asyncio.Event()

    async def sleep_for_ever(_: float) -> None:
        waiting.set()
        await asyncio.Event().wait()

    policy = RetryPolicy(sleep=sleep_for_ever)
    async with OpenAIServer(Script(otherwise=Answer(status=503))) as server:
        model = OpenAIChat(base_url=server.base_url, api_key=KEY, retry_policy=policy)
        task = asyncio.create_task(model.respond(ask()))
        await waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        assert server.stats().requests == 1


async def test_plain_json_instead_of_a_stream_is_understood() -> None:
    async def answer(_: web.BaseRequest) -> web.Response:
        return web.json_response({"choices": [{"message": {"content": "whole"}}]})

    pieces: list[str] = []
    async with raw_server(answer) as url:
        response = await OpenAIChat(base_url=url).respond(ask(), on_text=pieces.append)

    assert (response.text, pieces) == ("whole", ["whole"])


@pytest.mark.parametrize(
    ("stream", "complete"),
    [
        (b'data: {"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}\n\n', True),
        (b'data: {"choices":[{"delta":{"content":"a"}}]}\n\ndata: [DONE]', True),
        (b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n', False),
        (b'data: {"choices":[{"delta":{"content":"a"}}]}\n\ndata: {"cho', False),
        (b"", False),
    ],
)
async def test_a_stream_is_whole_with_a_finish_reason_or_done(
    stream: bytes, *, complete: bool
) -> None:
    async def answer(_: web.BaseRequest) -> web.Response:
        return web.Response(body=stream, content_type="text/event-stream")

    async with raw_server(answer) as url:
        model = OpenAIChat(base_url=url, max_retries=0)
        if complete:
            assert (await model.respond(ask(), on_text=unheard)).text == "a"
        else:
            with pytest.raises(ModelProtocolError, match="in the middle"):
                await model.respond(ask(), on_text=unheard)


async def test_a_server_that_stays_open_after_done_does_not_hold_the_answer_up() -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n')
        await response.write(b"data: [DONE]\n\n")
        await never.wait()
        return response

    never = asyncio.Event()
    async with raw_server(answer) as url, asyncio.timeout(10):
        assert (await OpenAIChat(base_url=url).respond(ask(), on_text=unheard)).text == "a"
        never.set()


async def test_a_connection_that_breaks_after_done_does_no_harm() -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n')
        await response.write(b"data: [DONE]\n\n")
        assert request.transport is not None
        request.transport.close()
        return response

    async with raw_server(answer) as url:
        assert (await OpenAIChat(base_url=url).respond(ask(), on_text=unheard)).text == "a"


@pytest.mark.parametrize(
    ("kind", "unit", "on_text"),
    [("application/json", b" ", None), ("text/event-stream", b"x", unheard)],
)
async def test_an_answer_without_end_is_refused(
    kind: str, unit: bytes, on_text: OnText | None
) -> None:
    async def answer(_: web.BaseRequest) -> web.Response:
        return web.Response(body=unit * (33 * 1024 * 1024), content_type=kind)

    async with raw_server(answer) as url:
        with pytest.raises(ModelProtocolError, match="of more than"):
            await OpenAIChat(base_url=url).respond(ask(), on_text=on_text)


async def test_an_endless_error_page_is_cut() -> None:
    async def answer(_: web.BaseRequest) -> web.Response:
        return web.Response(status=400, text="no " * 1_000_000)

    async with raw_server(answer) as url:
        with pytest.raises(ModelRequestError, match="answered 400: no no") as caught:
            await OpenAIChat(base_url=url).respond(ask())

    assert len(str(caught.value)) < 1000


async def test_a_tool_call_without_an_id_gets_one_that_no_other_has() -> None:
    call = {"function": {"name": "f", "arguments": "{}"}}

    async def answer(_: web.BaseRequest) -> web.Response:
        return web.json_response({"choices": [{"message": {"tool_calls": [call, call]}}]})

    async with raw_server(answer) as url:
        response = await OpenAIChat(base_url=url).respond(ask())

    ids = {call.id for call in response.tool_calls}
    assert len(ids) == 2
    assert all(name.startswith("call_") for name in ids)
