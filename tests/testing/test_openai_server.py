from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from licet.testing.openai_script import Answer, Rule, Script
from licet.testing.openai_server import OpenAIServer, Stats


def _body(text: str = "Hi", *, stream: bool = False) -> dict[str, Any]:
    return {"model": "m", "stream": stream, "messages": [{"role": "user", "content": text}]}


@pytest.fixture
async def client() -> Any:
    """A bare HTTP client."""
    async with aiohttp.ClientSession() as session:
        yield session


async def _text(client: aiohttp.ClientSession, server: OpenAIServer, body: Any) -> str:
    async with client.post(f"{server.base_url}/chat/completions", json=body) as response:
        assert response.status == 200
        return str((await response.json())["choices"][0]["message"]["content"])


async def test_rules_come_before_the_sequence_and_that_before_the_rest(
    client: aiohttp.ClientSession,
) -> None:
    script = Script(
        rules=(Rule("weather", (Answer(text="sunny"),)),),
        sequence=(Answer(text="first"), Answer(text="second")),
        otherwise=Answer(text="rest"),
    )
    async with OpenAIServer(script) as server:
        asked = ["Hi", "The weather?", "Hi", "Hi", "Hi"]
        said = [await _text(client, server, _body(text)) for text in asked]

    assert said == ["first", "sunny", "second", "rest", "rest"]


async def test_content_in_parts_is_matched_too(client: aiohttp.ClientSession) -> None:
    script = Script(rules=(Rule("weather", (Answer(text="sunny"),)),))
    parts = [{"type": "text", "text": "The weather?"}, {"type": "image_url", "image_url": {}}]
    async with OpenAIServer(script) as server:
        body = {"messages": [{"role": "user", "content": parts}]}

        assert await _text(client, server, body) == "sunny"


async def test_a_stream_has_the_form_of_the_protocol(client: aiohttp.ClientSession) -> None:
    async with OpenAIServer(Script(otherwise=Answer(text="a b", tokens=3))) as server:
        url = f"{server.base_url}/chat/completions"
        async with client.post(url, json=_body(stream=True)) as response:
            assert response.content_type == "text/event-stream"
            events = (await response.text()).split("\n\n")

    assert events[-2:] == ["data: [DONE]", ""]
    chunks = [json.loads(event.removeprefix("data: ")) for event in events[:-2]]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
    assert deltas == [
        {"role": "assistant", "content": ""},
        {"content": "a"},
        {"content": " "},
        {"content": "b"},
        {},
    ]
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["usage"]["completion_tokens"] == 3
    assert {chunk["model"] for chunk in chunks} == {"m"}


async def test_requests_and_counts_can_be_asked_for(client: aiohttp.ClientSession) -> None:
    async with OpenAIServer(record=2) as server:
        root = server.base_url.removesuffix("/v1")
        for text in ("one", "two", "three"):
            await _text(client, server, _body(text))
        async with client.get(f"{root}/_requests") as response:
            recorded = await response.json()
        async with client.get(f"{root}/_stats") as response:
            stats = await response.json()

        assert recorded == server.requests == [_body("two"), _body("three")]
        assert stats == {
            "requests": 3,
            "disconnects": 0,
            "connections": 1,
            "open_connections": 1,
        }
        assert server.stats() == Stats(**stats)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/chat/completions", b"{", 400),
        ("POST", "/chat/completions", b"{}", 400),
        ("POST", "/chat/completions", b"\xff", 400),
        ("GET", "/chat/completions", b"", 404),
        ("POST", "/completions", b"{}", 404),
    ],
)
async def test_what_it_cannot_answer_it_refuses(
    client: aiohttp.ClientSession, method: str, path: str, body: bytes, status: int
) -> None:
    async with (
        OpenAIServer() as server,
        client.request(method, server.base_url + path, data=body) as response,
    ):
        assert response.status == status
        assert (await response.json())["error"]["message"]


async def test_a_key_can_be_demanded(client: aiohttp.ClientSession) -> None:
    async with OpenAIServer(api_key="secret") as server:
        url = f"{server.base_url}/chat/completions"
        for key, status in (("wrong", 401), ("secret", 200)):
            headers = {"Authorization": f"Bearer {key}"}
            async with client.post(url, json=_body(), headers=headers) as response:
                assert response.status == status


async def test_it_has_no_address_while_it_does_not_run() -> None:
    server = OpenAIServer()
    with pytest.raises(RuntimeError, match="async with"):
        _ = server.base_url
    async with server:
        assert server.base_url.startswith("http://127.0.0.1:")
    with pytest.raises(RuntimeError, match="async with"):
        _ = server.base_url


@pytest.fixture
def script_file(tmp_path: Path) -> Path:
    """A script on disk."""
    file = tmp_path / "script.json"
    file.write_text(json.dumps({"otherwise": {"text": "from a file"}}))
    return file


@pytest.fixture
def process(request: pytest.FixtureRequest, script_file: Path) -> Iterator[subprocess.Popen[str]]:
    """The server as a program, with the options that the test names."""
    options = [str(script_file) if x == "SCRIPT" else x for x in request.param]
    command = [sys.executable, "-m", "licet.testing.openai_server", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        yield program
        program.kill()


@pytest.mark.parametrize(
    ("process", "said"),
    [(["--tokens", "3"], "word0 word1 word2"), (["--script", "SCRIPT"], "from a file")],
    indirect=["process"],
)
async def test_it_runs_as_a_program(
    client: aiohttp.ClientSession, process: subprocess.Popen[str], said: str
) -> None:
    assert process.stdout is not None
    url = (await asyncio.to_thread(process.stdout.readline)).strip()
    async with client.post(f"{url}/chat/completions", json=_body()) as response:
        assert (await response.json())["choices"][0]["message"]["content"] == said

    process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(process.wait, 10) == 0
