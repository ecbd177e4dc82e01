"""When what is imported: nothing that may never be needed, and nothing with the first request."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.openai import scripted_openai
from tests.support.process import free_port, running

FRAMEWORK = {"fastapi", "opentelemetry", "uvicorn"}
# What a server may never need: tables to change, durable runs, schedules, schemas to check.
LATE = {"alembic", "croniter", "dbos", "ddgs", "jsonschema", "openai", "psycopg"}
# What the first run needs.
EARLY = {"aiohttp", "fastapi", "msgspec", "sqlalchemy", "uvicorn"}

MAKES = """
import json, sys
from licet.agent import Agent
from licet.db.in_memory import InMemoryDb
from licet.os import AgentOS, AuthorizationConfig
from licet.testing import ScriptedModel, TokenFactory

agent_os = AgentOS(
    agents=[Agent(id="alpha", model=ScriptedModel([]))],
    db=InMemoryDb(),
    authorization=True,
    authorization_config=AuthorizationConfig(verification_keys=[TokenFactory().public_key]),
)
made = sorted(sys.modules)
agent_os.get_app()
print(json.dumps([made, sorted(sys.modules)]))
"""

SERVES = """
import sys
from licet.agent import Agent
from licet.db.sqlite import SqliteDb
from licet.models.openai import OpenAIChat
from licet.os import AgentOS
from licet.tools.websearch import WebSearchTools

model = OpenAIChat(base_url=sys.argv[2])
db = SqliteDb("licet.db")
agent_os = AgentOS(agents=[Agent(id="alpha", model=model, db=db, tools=[WebSearchTools()])])
app = agent_os.get_app()

@app.get("/imported")
async def imported() -> list[str]:
    return sorted({name.partition(".")[0] for name in sys.modules})

agent_os.serve(port=int(sys.argv[1]))
"""


@pytest.fixture
def model() -> Iterator[str]:
    with scripted_openai({"otherwise": {"text": "hello"}}) as url:
        yield f"{url}/v1"


def test_an_agent_os_is_made_without_the_framework_and_an_app_without_a_server() -> None:
    done = subprocess.run([sys.executable, "-c", MAKES], capture_output=True, text=True, check=True)
    made, with_app = (set(names) for names in json.loads(done.stdout))
    assert FRAMEWORK & made == set()
    assert "fastapi" in with_app
    assert "uvicorn" not in with_app


def test_the_first_run_finds_imported_what_it_needs_and_nothing_else_is(
    tmp_path: Path, model: str
) -> None:
    for _ in ("a new database", "one that is there"):
        port = free_port()
        command: list[Any] = [sys.executable, "-c", SERVES, str(port), model]
        with running(command, cwd=tmp_path) as process:
            url = f"http://127.0.0.1:{port}"
            process.wait_until_serving(f"{url}/health")
            ready = set(httpx.get(f"{url}/imported").json())
            run = httpx.post(f"{url}/agents/alpha/runs", data={"message": "hi", "stream": "true"})
            then = set(httpx.get(f"{url}/imported").json())
        assert "RunCompleted" in run.text
    assert LATE & ready == set()
    assert ready >= EARLY
    assert {name for name in then - ready if name not in sys.stdlib_module_names} == set()
