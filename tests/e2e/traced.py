"""A served program whose spans and numbers go to a real receiver."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from licet.testing import TokenFactory
from tests.support.openai import scripted_openai
from tests.support.otlp import Received, SpanSeen, otlp_receiver
from tests.support.process import Process, free_port, licet, running

TOKENS = TokenFactory()
API_KEY = "sk-" + secrets.token_hex(16)
QUESTION, ARGUMENT, RESULT, ANSWER = "where is it", "parcel-argument", "in-the-van", "It is near."
SCRIPT = {
    "rules": [
        {
            "match": QUESTION,
            "answers": [
                {"tool_calls": [{"name": "look", "arguments": {"what": ARGUMENT}}]},
                {"text": ANSWER, "input_tokens": 12, "output_tokens": 4},
            ],
        },
        {"match": "fail", "answers": [{"status": 400, "error": f"bad request of {API_KEY}"}]},
    ]
}
PROGRAM = f"""
import time
from pathlib import Path

from licet.agent import Agent
from licet.db.sqlite import SqliteDb
from licet.models.openai import OpenAIChat
from licet.os import AgentOS, AuthorizationConfig, Heartbeat, Settings
from licet.telemetry import Telemetry
from licet.tools import tool


@tool
def look(what: str) -> str:
    "Look for something."
    Path("begun").touch()
    while Path("closed").exists():
        time.sleep(0.01)
    return "{RESULT}"


agent_os = AgentOS(
    id="parcels",
    agents=[Agent(id="clerk", name="Clerk", model=OpenAIChat(id="gpt-test"), tools=[look])],
    db=SqliteDb("os.db"),
    authorization=True,
    authorization_config=AuthorizationConfig(verification_keys=[Path("public.pem").read_text()]),
    settings=Settings(heartbeat=Heartbeat(beat_seconds=0.25, dead_seconds=2.0)),
    telemetry=Telemetry(),
)
app = agent_os.get_app()
"""


@dataclass(frozen=True)
class Place:
    """The program as it is served, who receives what it tells, and a token."""

    url: str
    process: Process
    received: Received
    token: str

    def run(self, message: str = QUESTION, **form: str) -> httpx.Response:
        """Ask for a run; with a token in the query, where no client should put it."""
        answer = httpx.post(
            f"{self.url}/agents/clerk/runs?access_token={self.token}",
            data={"message": message, "session_id": "s1", **form},
            headers={"Authorization": f"Bearer {self.token}", "X-Request-ID": "r-1"},
            timeout=60,
        )
        assert answer.status_code in {200, 202}, answer.text
        return answer


@contextmanager
def environment(folder: Path) -> Iterator[tuple[Received, dict[str, str]]]:
    """The program in a folder, a model and a receiver; what the environment says of them."""
    (folder / "program.py").write_text(PROGRAM)
    (folder / "public.pem").write_text(TOKENS.public_key)
    with otlp_receiver() as received, scripted_openai(SCRIPT) as model:
        yield (
            received,
            {
                "OPENAI_API_KEY": API_KEY,
                "OPENAI_BASE_URL": f"{model}/v1",
                "OTEL_EXPORTER_OTLP_ENDPOINT": received.url,
                "OTEL_EXPORTER_OTLP_HEADERS": f"x-key={API_KEY}",
                "OTEL_BSP_SCHEDULE_DELAY": "50",
                # FastAPI has telemetry of its own, which is to stay out of this.
                "FASTAPI_OTEL_AUTO_CONFIGURE": "true",
                # What would record headers, or leave requests out: neither is heeded.
                "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST": ".*",
                "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_RESPONSE": ".*",
                "OTEL_PYTHON_FASTAPI_EXCLUDED_URLS": "agents",
                "OTEL_METRIC_EXPORT_INTERVAL": "200",
            },
        )


@contextmanager
def served(folder: Path, received: Received, env: dict[str, str]) -> Iterator[Place]:
    """The program, in a process of its own."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = licet("serve", "program:app", "--port", str(port), "--log-format", "json")
    with ExitStack() as stack:
        process = stack.enter_context(running(command, cwd=folder, env=env))
        process.wait_until_serving(f"{url}/health")
        yield Place(url, process, received, TOKENS.token("uma", scopes=("agents:run",)))


def below(spans: list[SpanSeen], parent: SpanSeen) -> list[SpanSeen]:
    """The spans below one, in the order in which they began; statements left out."""
    found = (s for s in spans if s.parent_id == parent.span_id)
    told = (s for s in found if "db.system.name" not in s.attributes)
    return sorted(told, key=lambda s: s.start)


def names(spans: list[SpanSeen]) -> list[str]:
    """What was done."""
    return [span.name for span in spans]
