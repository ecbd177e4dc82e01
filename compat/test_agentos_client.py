"""Today's AgentOS client, from its own package in its own environment, against a Licet server."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from licet.agent import Agent
from licet.db.sqlite import SqliteDb
from licet.models.base import ModelRequest
from licet.models.message import Usage
from licet.testing import CallTools, Say, ScriptedModel
from tests.support.live import serve
from tests.support.world import World

DRIVER = Path(__file__).parent / "drive_client.py"


def answer(request: ModelRequest) -> Say | CallTools:
    """Calls the tool where it is asked to, and otherwise says hello."""
    last = request.messages[-1]
    if last.role == "user" and last.content == "use the tool":
        return CallTools(("now", {}))
    return Say("Hello you", usage=Usage(3, 2, 5))


def now() -> str:
    """Tell the time."""
    return "noon"


@pytest.mark.timeout(60)
def test_the_client_lists_runs_streams_reads_and_deletes(
    client_python: str, tmp_path: Path
) -> None:
    db = SqliteDb(db_file=str(tmp_path / "compat.db"))
    world = World(db=db)
    world.agents = [Agent(id="alpha", model=ScriptedModel(answer), db=db, tools=[now])]
    token = world.bearer("carl", "agents:read", "agents:run", "config:read", *SESSIONS)
    with serve(world.agent_os().get_app()) as server:
        done = subprocess.run(
            [client_python, str(DRIVER), server.url, token["Authorization"].split()[1]],
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen == {
        "config": ["test-os", ["alpha"]],
        "agents": ["alpha"],
        "agent": ["alpha", "scripted", db.id],
        "run": ["Hello you", "COMPLETED", 5],
        "events": [
            "RunStarted",
            "ModelRequestStarted",
            "ModelRequestCompleted",
            "ToolCallStarted",
            "ToolCallCompleted",
            "ModelRequestStarted",
            "RunContent",
            "RunContent",
            "ModelRequestCompleted",
            "RunContentCompleted",
            "RunCompleted",
        ],
        "content": "Hello you",
        "sessions": [["c1", "hello"]],
        "detail": ["c1", 6],
        "runs": [["hello", "Hello you", "COMPLETED"], ["use the tool", "Hello you", "COMPLETED"]],
        "previews": ["hello", "use the tool"],
        "one": True,
        "created": ["c2", "named"],
        "renamed": "renamed",
        "updated": {"k": 1},
        "left": [],
        "refused": 401,
    }


SESSIONS = ("sessions:read", "sessions:write", "sessions:delete")
