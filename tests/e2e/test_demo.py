"""``make demo``: every line that it prints does what the line promises, with a real model."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.process import free_port, running

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Line:
    """A printed command, who is meant to try it, and what it promises."""

    who: str
    token: str
    command: str
    promise: str


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Line]]:
    folder = tmp_path_factory.mktemp("demo")
    port = free_port()
    env = {"LICET_DEMO_PORT": str(port), "LICET_DEMO_FOLDER": str(folder)}
    command: list[str | Path] = [sys.executable, ROOT / "examples" / "demo.py"]
    with running(command, cwd=folder, env=env) as process:
        process.wait_until_serving(f"http://127.0.0.1:{port}/health")
        yield list(parse(process.lines))


def parse(printed: list[str]) -> Iterator[Line]:
    who = token = ""
    for text in (line.strip() for line in printed):
        if match := re.match(r"(Nobody|Rita|Uma|Ada)\b", text):
            who, token = match[1], ""
        elif text.startswith("TOKEN="):
            token = text.removeprefix("TOKEN=")
        elif text.startswith("curl "):
            command, _, promise = text.partition("#")
            yield Line(who, token, command, promise.strip())


def follow(line: Line) -> tuple[int, str]:
    """The status and the body that the command prints."""
    done = subprocess.run(
        ["bash", "-c", line.command],
        env={**os.environ, "TOKEN": line.token},
        capture_output=True,
        text=True,
        timeout=250,
        check=True,
    )
    head, _, body = done.stdout.partition("\n\n")
    return int(head.split()[1]), body


def test_three_people_and_nobody_are_offered_lines(lines: list[Line]) -> None:
    assert {line.who for line in lines} == {"Nobody", "Rita", "Uma", "Ada"}
    assert len(lines) == 9
    assert all(line.token.count(".") == 2 for line in lines if line.who != "Nobody")


@pytest.mark.timeout(600)
def test_every_line_answers_as_promised(lines: list[Line]) -> None:
    streamed = 0
    for line in lines:
        status, body = follow(line)
        assert status == int(line.promise[:3]), (line, body)
        if "streamed" in line.promise:
            streamed += 1
            check_stream(body)
    assert streamed == 2


def check_stream(body: str) -> None:
    """Events of a real model's answer, from the start to the whole text."""
    data = re.findall(r"^data: (.*)$", body, re.MULTILINE)
    events = [json.loads(line) for line in data]
    assert events[0]["event"] == "RunStarted"
    assert events[-1]["event"] == "RunCompleted"
    pieces = [event["content"] for event in events if event["event"] == "RunContent"]
    assert len(pieces) > 3
    assert "".join(pieces) == events[-1]["content"]
    assert events[-1]["metrics"]["output_tokens"] > 3


def test_uma_sees_her_own_sessions_alone_and_ada_sees_all(lines: list[Line]) -> None:
    def users(who: str) -> set[str]:
        (line,) = [x for x in lines if x.who == who and "/sessions " in x.command]
        return {session["user_id"] for session in json.loads(follow(line)[1])["data"]}

    assert users("Uma") == {"uma"}
    assert users("Ada") == {"uma", "ada"}
