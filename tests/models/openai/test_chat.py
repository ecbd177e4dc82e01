"""OpenAIChat against a real server, through both transports."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from openai import AsyncOpenAI

from licet.errors import (
    ModelCredentialsError,
    ModelError,
    ModelProtocolError,
    ModelRateLimitError,
    ModelRequestError,
    ModelUnavailableError,
)
from licet.models.base import Model, ModelRequest, OnText, ToolSchema
from licet.models.message import Message
from licet.models.openai import OpenAIChat
from licet.testing.openai_script import Answer, Script, ScriptedCall
from licet.testing.openai_server import OpenAIServer
from tests.models.openai.parts import KEY, ask, chat, unheard

MakeChat = Callable[..., OpenAIChat]


@pytest.fixture(params=["aiohttp", "openai-sdk"])
async def make(request: pytest.FixtureRequest) -> AsyncIterator[MakeChat]:
    """Makes a model on either transport, without retries."""
    async with AsyncExitStack() as clients:

        def through_aiohttp(server: OpenAIServer, **settings: Any) -> OpenAIChat:
            return chat(server, max_retries=0, **settings)

        def through_sdk(server: OpenAIServer, **settings: Any) -> OpenAIChat:
            client = AsyncOpenAI(
                base_url=server.base_url,
                api_key=KEY,
                max_retries=0,
                timeout=settings.pop("timeout", None),
            )
            clients.push_async_callback(client.close)
            return OpenAIChat("gpt-test", client=client, **settings)

        yield through_aiohttp if request.param == "aiohttp" else through_sdk


def _say(*answers: Answer, **settings: Any) -> OpenAIServer:
    return OpenAIServer(Script(sequence=answers), **settings)


async def test_a_text_is_streamed_piece_by_piece(make: MakeChat) -> None:
    pieces: list[str] = []
    async with _say(Answer(text="Hello wörld 😀!")) as server:
        response = await make(server).respond(ask(), on_text=pieces.append)

    assert pieces == ["Hello", " wörld", " 😀!"]
    assert response.text == "Hello wörld 😀!"
    assert response.finish_reason == "stop"
    assert response.usage.total_tokens == 13
    assert server.requests[0]["stream"] is True


async def test_without_a_callback_one_plain_response_is_asked_for(make: MakeChat) -> None:
    async with _say(Answer(text="Hello", headers={"x-request-id": "req_9"})) as server:
        response = await make(server).respond(ask())

    assert (response.text, response.request_id) == ("Hello", "req_9")
    assert "stream_options" not in server.requests[0]


async def test_reasoning_is_streamed_beside_the_text(make: MakeChat) -> None:
    thoughts: list[str] = []
    async with _say(Answer(text="4", reasoning="2 + 2")) as server:
        response = await make(server).respond(ask(), on_reasoning=thoughts.append)

    assert thoughts == ["2 + 2"]
    assert (response.reasoning, response.text) == ("2 + 2", "4")


@pytest.mark.parametrize("on_text", [unheard, None])
async def test_a_refusal_and_the_reasoning_before_it_are_answered(
    make: MakeChat, on_text: OnText | None
) -> None:
    async with _say(Answer(reasoning="Hm", refusal="I will not.")) as server:
        response = await make(server).respond(ask(), on_text=on_text)

    assert (response.refusal, response.reasoning, response.text) == ("I will not.", "Hm", "")


@pytest.mark.parametrize("stream", [True, False])
async def test_tool_calls_are_answered(make: MakeChat, *, stream: bool) -> None:
    calls = (ScriptedCall("search", {"query": "x"}), ScriptedCall("now", id="call_b"))
    tools = [ToolSchema("search", "Search", {"type": "object"})]
    request = ModelRequest([Message(role="user", content="Hi")], tools=tools)
    async with _say(Answer(tool_calls=calls)) as server:
        model = make(server, parallel_tool_calls=True)
        response = await model.respond(request, on_text=unheard if stream else None)

    assert [(c.id, c.function.name, c.function.arguments) for c in response.tool_calls] == [
        ("call_0", "search", '{"query":"x"}'),
        ("call_b", "now", "{}"),
    ]
    assert response.finish_reason == "tool_calls"
    assert server.requests[0]["tools"][0]["function"]["name"] == "search"
    assert server.requests[0]["parallel_tool_calls"] is True


async def test_settings_reach_the_server(make: MakeChat) -> None:
    async with _say(api_key=KEY) as server:
        model = make(
            server,
            temperature=0.0,
            stop=["END"],
            seed=7,
            metadata={"team": "a"},
            request_params={"top_k": 3, "seed": 8},
            extra_body={"min_p": 0.1},
        )
        await model.respond(ask())

    assert server.requests[0] == {
        "model": "gpt-test",
        "messages": [{"role": "user", "content": "Hello?"}],
        "temperature": 0.0,
        "stop": ["END"],
        "seed": 8,
        "metadata": {"team": "a"},
        "top_k": 3,
        "min_p": 0.1,
    } | ({"stream": False} if model.client is not None else {})


async def test_a_large_request_is_sent_whole(make: MakeChat) -> None:
    text = "x" * 3_000_000
    async with _say() as server:
        await make(server).respond(ask(text))

    assert server.requests[0]["messages"][0]["content"] == text


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (400, ModelRequestError, False),
        (401, ModelCredentialsError, False),
        (403, ModelCredentialsError, False),
        (404, ModelRequestError, False),
        (409, ModelUnavailableError, True),
        (422, ModelRequestError, False),
        (429, ModelRateLimitError, True),
        (503, ModelUnavailableError, True),
    ],
)
async def test_a_refusal_is_a_typed_error_that_names_the_request(
    make: MakeChat, status: int, kind: type[ModelError], *, retryable: bool
) -> None:
    headers = {"x-request-id": "req_1"}
    answer = Answer(status=status, error=f"no, {KEY}", headers=headers)
    async with _say(answer) as server:
        with pytest.raises(kind, match=r"no, \*\*\*") as caught:
            await make(server).respond(ask(), on_text=unheard)

    assert caught.value.status == status
    assert caught.value.request_id == "req_1"
    assert caught.value.retryable is retryable
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (Answer(text="a b c", fault="cut_off", fault_after=3), ModelProtocolError, "in the middle"),
        (Answer(text="a b c", fault="malformed", fault_after=3), ModelProtocolError, "not JSON"),
        (
            Answer(text="a b", fault="error_event", fault_after=2, error="overloaded"),
            ModelUnavailableError,
            "overloaded",
        ),
        (Answer(text="a b", fault="disconnect", fault_after=2), ModelUnavailableError, "broke off"),
    ],
    ids=lambda value: getattr(value, "fault", None),
)
async def test_a_stream_that_breaks_is_a_typed_error(
    make: MakeChat, answer: Answer, kind: type[ModelError], message: str
) -> None:
    pieces: list[str] = []
    async with _say(answer) as server:
        with pytest.raises(kind, match=message):
            await make(server).respond(ask(), on_text=pieces.append)

    assert pieces == ["a", " b"][: answer.fault_after - 1]


async def test_a_plain_answer_that_breaks_is_a_typed_error(make: MakeChat) -> None:
    async with _say(Answer(fault="malformed"), Answer(fault="error_event")) as server:
        model = make(server)
        with pytest.raises(ModelProtocolError, match="not JSON"):
            await model.respond(ask())
        with pytest.raises(ModelUnavailableError, match="scripted failure"):
            await model.respond(ask())
    async with _say(Answer(fault="disconnect"), Answer(text="slow", pause_seconds=0.01)) as server:
        model = make(server)
        with pytest.raises(ModelUnavailableError):
            await model.respond(ask())
        assert (await model.respond(ask())).text == "slow"


@pytest.mark.parametrize("fault_after", [0, 2])
async def test_silence_is_an_error_after_the_timeout(make: MakeChat, fault_after: int) -> None:
    answer = Answer(text="a b c", fault="hang", fault_after=fault_after)
    async with _say(answer) as server:
        with pytest.raises(ModelUnavailableError) as caught:
            await make(server, timeout=0.1).respond(ask(), on_text=unheard)

    assert caught.value.retryable


async def test_nobody_listening_is_an_error(make: MakeChat) -> None:
    async with _say() as server:
        model = make(server)
    with pytest.raises(ModelUnavailableError) as caught:
        await model.respond(ask())

    assert caught.value.status is None
    assert caught.value.retryable


@pytest.mark.parametrize("fault_after", [0, 2])
async def test_cancelling_the_task_closes_the_connection(make: MakeChat, fault_after: int) -> None:
    heard = asyncio.Event()
    answer = Answer(text="a b c", fault="hang", fault_after=fault_after)
    async with _say(answer) as server:
        task = asyncio.create_task(make(server).respond(ask(), on_text=lambda _: heard.set()))
        if fault_after:
            await heard.wait()
        else:
            await _until(lambda: len(server.requests) == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        await _until(lambda: server.stats().disconnects == 1)


async def test_a_connection_is_used_again(make: MakeChat) -> None:
    async with _say() as server:
        model = make(server)
        for on_text in (None, unheard, unheard, None):
            await model.respond(ask(), on_text=on_text)

        assert server.stats().connections == 1


async def test_concurrent_runs_share_a_model(make: MakeChat) -> None:
    answer = Answer(text="a b c d", pause_seconds=0.01)
    async with OpenAIServer(Script(otherwise=answer)) as server:
        model = make(server)
        heard: list[list[str]] = [[] for _ in range(20)]
        await asyncio.gather(*(model.respond(ask(), on_text=x.append) for x in heard))

    assert heard == [["a", " b", " c", " d"]] * 20


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the condition is another party's state
            await asyncio.sleep(0.005)


async def test_it_is_a_model(make: MakeChat) -> None:
    async with _say() as server:
        model: Model = make(server)

    assert isinstance(model, Model)
    assert (model.id, model.name, model.provider) == ("gpt-test", "OpenAIChat", "OpenAI")
