"""Hot spots: how many bytecodes are executed for what every request or token goes through.

A count is the same on a busy machine as on a quiet one, and needs no right of the kernel, which
counters of the processor do. It sees what Python code does, and not what C code below it does. It
depends on the version of Python, so there is a baseline (``hot_spots.json``) for each.

``python -m benchmarks.hot_spots --write`` writes the baseline of this Python anew.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sys
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

from benchmarks.suites.tokens import own_verifier, signed_tokens
from licet.agent import Agent
from licet.agent.events import RunContent
from licet.authn.base import Authenticated, Credentials
from licet.authn.bearer import BearerAuthenticator
from licet.authn.jwt_tokens import JwtTokens
from licet.authn.principal import Principal
from licet.db.in_memory import InMemoryDb
from licet.models.openai import OpenAIChat
from licet.models.openai.decode import AnswerDecoder
from licet.models.openai.failure import Failures
from licet.os import AgentOS, AuthorizationConfig
from licet.os.policy import RUN_AGENT, build_policy
from licet.os.rules import Rule
from licet.os.table import Guarded
from licet.runs.frames import frame
from licet.testing import TokenFactory
from licet.testing.openai_script import Answer, stream_events

BASELINE = Path(__file__).with_name("hot_spots.json")
TOLERATED = 1.02
"""What a count may have grown by before that is a regression."""

T = TypeVar("T")


def bytecodes(call: Callable[[], object]) -> int:
    """How many bytecodes a call executes, in all functions written in Python that it reaches."""
    count = 0

    def traced(stack_frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal count
        if event == "call":
            stack_frame.f_trace_opcodes = True
            stack_frame.f_trace_lines = False
        elif event == "opcode":
            count += 1
        return traced

    before, collects = sys.gettrace(), gc.isenabled()
    # Who collects garbage meanwhile may call what others have registered for it.
    gc.disable()
    sys.settrace(traced)
    try:
        call()
    finally:
        sys.settrace(before)
        if collects:
            gc.enable()
    return count


def counts() -> dict[str, int]:
    """The bytecodes of each hot spot, when it has run before."""
    found = {}
    for name, call in _hot_spots().items():
        call()
        found[name] = bytecodes(call)
    found["answer GET /agents"] = asyncio.run(_list_agents())
    return found


def regressions(found: Mapping[str, int], baseline: Mapping[str, int]) -> list[str]:
    """What costs more than it did, or is not in the baseline; a sentence each."""
    said = [
        f"{name}: {count} bytecodes, {baseline[name]} before"
        for name, count in found.items()
        if name in baseline and count > baseline[name] * TOLERATED
    ]
    return said + [f"{name}: not in the baseline" for name in found if name not in baseline]


def baselines() -> dict[str, dict[str, int]]:
    """The counts that were written down, by the version of Python."""
    read: dict[str, dict[str, int]] = json.loads(BASELINE.read_text())
    return read


def python() -> str:
    """The version of Python that the counts depend on."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _hot_spots() -> dict[str, Callable[[], object]]:
    return {
        "verify a remembered token": _verify(),
        "authorize": _authorize(),
        "encode an event": _encode(),
        "decode a chunk of a model": _decode(),
    }


def _verify() -> Callable[[], object]:
    factory = TokenFactory()
    (token,) = signed_tokens(factory, 1)
    authenticator = BearerAuthenticator(JwtTokens(own_verifier(factory)))
    credentials = Credentials(authorization=(b"Bearer " + token,))

    def verify() -> None:
        assert isinstance(_at_once(authenticator.authenticate(credentials)), Authenticated)

    return verify


def _authorize() -> Callable[[], object]:
    policy = build_policy(AuthorizationConfig(), user_isolation=True)
    scopes = ("agents:read", "agents:run", "sessions:read")
    principal = Principal(issuer_alias="default", issuer=None, subject="user", scopes=scopes)
    rule = Rule(permissions=(RUN_AGENT,))
    guarded = Guarded("/agents/{agent_id}/runs", rule, {"agent_id": "bench"})

    def authorize() -> None:
        caller = policy.caller(principal)
        ruling = _at_once(policy.rule_on(caller, guarded, method="POST"))
        assert policy.refusal(ruling) is None

    return authorize


def _encode() -> Callable[[], object]:
    event = RunContent(
        created_at=1_700_000_000,
        agent_id="bench",
        agent_name="Bench",
        run_id="12345678-1234-1234-1234-123456789012",
        session_id="session-1",
        nested_depth=0,
        content="word17 ",
    )

    def encode() -> None:
        assert frame(event, 17).startswith(b"event: RunContent\n")

    return encode


def _decode() -> Callable[[], object]:
    chunk = stream_events(Answer(text="word17"), "scripted")[1]
    payload = chunk.removeprefix(b"data: ").strip()
    said: list[str] = []
    decoder = AnswerDecoder(failures=Failures("OpenAI"), new_call_id=str, on_text=said.append)

    def decode() -> None:
        decoder.decode(payload)
        assert said[-1] == "word17"

    return decode


async def _list_agents() -> int:
    """The whole way of a request through the app, from the server's call to its last ``send``."""
    factory = TokenFactory()
    model = OpenAIChat(id="scripted", api_key="sk-scripted")
    agent_os = AgentOS(
        agents=[Agent(id="bench", model=model)],
        db=InMemoryDb(),
        authorization=True,
        authorization_config=AuthorizationConfig(verification_keys=[factory.public_key]),
    )
    app = agent_os.get_app()
    token = factory.token("bench", scopes=("agents:read",), aud=agent_os.id).encode()
    statuses: list[int] = []

    async def receive() -> Any:
        raise AssertionError("a list needs no body")

    async def send(message: Any) -> None:
        statuses.append(message.get("status", 0))

    def answer() -> None:
        scope: dict[str, Any] = {
            "type": "http",
            "http_version": "1.1",
            "method": "GET",
            "path": "/agents",
            "query_string": b"",
            "headers": [(b"host", b"127.0.0.1"), (b"authorization", b"Bearer " + token)],
            "client": ("127.0.0.1", 1),
        }
        _at_once(app(scope, receive, send))

    async with app.router.lifespan_context(app):
        answer()
        count = bytecodes(answer)
    assert statuses == [200, 0, 200, 0], statuses
    return count


def _at_once(work: Coroutine[Any, Any, T]) -> T:
    """What a coroutine comes to that waits for nothing."""
    try:
        work.send(None)
    except StopIteration as end:
        value: T = end.value
        return value
    raise RuntimeError("it waits for something")


def main() -> None:
    """Print the counts; write them down where that is asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hot_spots")
    parser.add_argument("--write", action="store_true", help="make them this Python's baseline")
    found = counts()
    for name, count in found.items():
        print(f"{name:28}{count:6} bytecodes")
    if parser.parse_args().write:
        known = {**baselines(), python(): found} if BASELINE.exists() else {python(): found}
        BASELINE.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
