"""How an OpenAIChat is made."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from typing import Any

import pytest
from openai import AsyncOpenAI, OpenAI

from licet.errors import (
    ConfigurationError,
    ModelCredentialsError,
)
from licet.models.openai import OpenAIChat
from licet.testing.openai_server import OpenAIServer
from tests.models.openai.parts import KEY, ask


async def test_openai_without_a_key_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    model = OpenAIChat()

    with pytest.raises(ModelCredentialsError, match="OPENAI_API_KEY"):
        await model.respond(ask())


async def test_the_environment_is_read_when_the_model_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = OpenAIChat()
    async with OpenAIServer(api_key=KEY) as server:
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)

        assert (await model.respond(ask())).text == "Scripted answer."


async def test_closing_leaves_a_client_of_the_user_open() -> None:
    async with (
        OpenAIServer() as server,
        AsyncOpenAI(base_url=server.base_url, api_key=KEY) as client,
    ):
        model = OpenAIChat(client=client)
        await model.aclose()

        assert (await model.respond(ask())).text == "Scripted answer."


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"base_url": "localhost:11434"}, "base_url"),
        ({"timeout": 0}, "timeout"),
        ({"connect_timeout_seconds": float("nan")}, "connect_timeout_seconds"),
        ({"client": object()}, "not an AsyncOpenAI"),
    ],
)
def test_settings_that_cannot_work_are_refused_at_once(
    settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        OpenAIChat(**settings)


def test_a_blocking_client_is_refused() -> None:
    with OpenAI(api_key=KEY) as client, pytest.raises(ConfigurationError, match="AsyncOpenAI"):
        OpenAIChat(client=client)  # type: ignore[arg-type]  # what is tested


async def test_a_client_brings_its_own_settings() -> None:
    async with AsyncOpenAI(api_key=KEY) as client:
        with pytest.raises(ConfigurationError, match="api_key, max_retries"):
            OpenAIChat(client=client, api_key=KEY, max_retries=1)


def test_a_model_is_immutable_and_its_repr_holds_no_secret() -> None:
    stop = ["END"]
    model = OpenAIChat(api_key=KEY, extra_headers={"x-key": KEY}, stop=stop)

    with pytest.raises(dataclasses.FrozenInstanceError):
        model.id = "other"  # type: ignore[misc]  # what is tested
    assert KEY not in repr(model)
    stop.append("MORE")
    assert model._parameters == {"stop": ["END"]}


def test_the_import_is_light() -> None:
    program = (
        "import sys, licet.models.openai, licet.models.llama_cpp;"
        "print([m for m in ('aiohttp', 'openai', 'httpx', 'xllamacpp') if m in sys.modules])"
    )

    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "[]"
