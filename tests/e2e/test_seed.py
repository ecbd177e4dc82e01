"""The program that the project was created from runs unmodified, with everything around it real."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.seed_program import RUNS, SEED, URL, Served, served
from tests.support.process import licet

SEED_SHA256 = "53802ec9c037cb26129f93fc4578f3f4f86a44d91cdcd7d93f6e70d49a1ebb0b"


def test_the_program_is_the_seed_byte_for_byte() -> None:
    assert hashlib.sha256(SEED.read_bytes()).hexdigest() == SEED_SHA256


@pytest.fixture(scope="module")
def seed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("seed")
    shutil.copy(SEED, folder)
    with served(licet("run", "--as", "agno", SEED.name), folder) as running_seed:
        yield running_seed


def test_it_prints_the_public_key_and_an_admin_token(seed: Served) -> None:
    assert "-----BEGIN PUBLIC KEY-----" in seed.process.output
    assert "PRIVATE" not in seed.process.output
    assert seed.admin_token.count(".") == 2


def test_without_a_token_nothing_is_answered(seed: Served) -> None:
    assert httpx.get(f"{URL}/agents").status_code == 401
    assert httpx.post(RUNS, data={"message": "x"}).status_code == 401


@pytest.mark.parametrize("who", ["admin", "user"])
def test_both_tokens_list_the_agent(seed: Served, who: str) -> None:
    headers = seed.admin if who == "admin" else seed.user()
    answer = httpx.get(f"{URL}/agents", headers=headers)
    assert answer.status_code == 200
    (agent,) = answer.json()
    assert agent["id"] == "research-agent"
    assert agent["model"] == {"name": "OpenAIChat", "model": "gpt-4o", "provider": "OpenAI"}
    assert {t["name"] for t in agent["tools"]["tools"]} == {"web_search", "search_news"}


def test_the_user_may_do_both_and_nothing_else(seed: Served) -> None:
    for path in ("/config", "/sessions", "/sessions/session_456", "/models"):
        assert httpx.get(URL + path, headers=seed.user()).status_code == 403


def test_a_run_searches_the_web_and_streams(seed: Served) -> None:
    form = {"message": "Search for latest AI news", "session_id": "news"}
    multipart = {name: (None, value) for name, value in form.items()}
    with httpx.stream("POST", RUNS, headers=seed.user(), files=multipart, timeout=60) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in answer.iter_lines() if line.startswith("data: ")]
    events = [json.loads(line.removeprefix("data: ")) for line in lines]
    names = [event["event"] for event in events]
    assert names[:5] == [
        "RunStarted",
        "ModelRequestStarted",
        "ModelRequestCompleted",
        "ToolCallStarted",
        "ToolCallCompleted",
    ]
    assert names[-1] == "RunCompleted"
    assert names.count("RunContent") > 3
    text = "".join(event["content"] for event in events if event["event"] == "RunContent")
    assert text == events[-1]["content"] == "The search engine cannot be reached today."
    tool = next(event["tool"] for event in events if event["event"] == "ToolCallCompleted")
    assert (tool["tool_name"], tool["tool_args"]) == ("web_search", {"query": "AI news"})
    assert tool["tool_call_error"] is True


def test_the_next_run_of_the_session_knows_the_first(seed: Served) -> None:
    form = {"message": "What did I ask?", "session_id": "news", "stream": "false"}
    answer = httpx.post(RUNS, headers=seed.user(), data=form, timeout=60).json()
    assert answer["content"] == "You asked about AI news before."
    messages = seed.model_requests()[-1]["messages"]
    assert [message["role"] for message in messages] == [
        "system",
        "user",
        "assistant",
        "tool",
        "assistant",
        "user",
    ]
    assert messages[1]["content"] == "Search for latest AI news"


def test_the_session_claim_is_the_session_of_requests_that_name_none(seed: Served) -> None:
    form = {"message": "hello", "stream": "false"}
    answer = httpx.post(RUNS, headers=seed.user(), data=form, timeout=60).json()
    assert (answer["session_id"], answer["user_id"]) == ("session_456", "user_123")


def test_the_admin_sees_what_the_user_did(seed: Served) -> None:
    sessions = httpx.get(f"{URL}/sessions", headers=seed.admin).json()["data"]
    assert {"news", "session_456"} <= {session["session_id"] for session in sessions}
    news = httpx.get(f"{URL}/sessions/news", headers=seed.admin).json()
    assert news["user_id"] == "user_123"


def test_it_reloads_when_the_program_changes(seed: Served) -> None:
    program = next(
        Path(line.split("'")[1]) / SEED.name
        for line in seed.process.lines
        if "Will watch for changes" in line
    )
    started = httpx.get(f"{URL}/health").json()["instantiated_at"]
    program.write_text(program.read_text() + "\n# changed\n")

    def reloaded() -> bool:
        try:
            now: str = httpx.get(f"{URL}/health", timeout=1.0).json()["instantiated_at"]
        except httpx.TransportError:
            return False
        return bool(now != started)

    seed.process.wait_for(reloaded, what="the new process")
    assert httpx.get(f"{URL}/agents", headers=seed.admin).status_code == 200
