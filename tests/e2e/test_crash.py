"""A server that is killed in the midst of a tool call, and the one that goes on with its run."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from licet.agent.output import RunOutput
from licet.db.base import Access
from licet.db.sqlite import SqliteDb
from licet.testing import TokenFactory
from tests.support.durable_place import wait_for
from tests.support.openai import scripted_openai
from tests.support.process import Process, free_port, licet, running

PROGRAM = '''
import asyncio
import os
from pathlib import Path

from licet.agent import Agent
from licet.context import RunContext
from licet.db.sqlite import SqliteDb
from licet.models.openai import OpenAIChat
from licet.os import AgentOS, AuthorizationConfig, Heartbeat, Settings


async def work(context: RunContext) -> str:
    """Work until one may stop."""
    with Path("worked").open("a") as file:
        file.write(context.idempotency_key + "\\n")
    while not Path("go").exists():
        await asyncio.sleep(0.02)
    return "worked"


agent_os = AgentOS(
    id="crash-os",
    db=SqliteDb("crash.db"),
    agents=[
        Agent(id="alpha", model=OpenAIChat(id="m", base_url=os.environ["MODEL"]), tools=[work])
    ],
    authorization=True,
    authorization_config=AuthorizationConfig(
        verification_keys=[Path("public.pem").read_text()]
    ),
    settings=Settings(heartbeat=Heartbeat(beat_seconds=0.3, dead_seconds=1.5)),
)
'''
SCRIPT = {
    "rules": [
        {
            "match": "work",
            "answers": [{"tool_calls": [{"name": "work", "arguments": {}}]}, {"text": "done"}],
        }
    ],
    "otherwise": {"text": "done"},
}
TOKENS = TokenFactory()


@pytest.fixture(scope="module")
def model_url() -> Iterator[str]:
    with scripted_openai(SCRIPT) as url:
        yield url


class Scene:
    """A folder with the program, its files, and what becomes of its one run."""

    def __init__(self, folder: Path, model_url: str) -> None:
        self.folder = folder
        (folder / "program.py").write_text(PROGRAM)
        (folder / "public.pem").write_text(TOKENS.public_key)
        self.env = {"MODEL": f"{model_url}/v1", "OPENAI_API_KEY": "x"}
        self.port = free_port()

    @contextmanager
    def served(self) -> Iterator[Process]:
        """A server of the program."""
        command = licet("serve", "program.py", "--port", str(self.port))
        with running(command, cwd=self.folder, env=self.env) as process:
            process.wait_until_serving(f"http://127.0.0.1:{self.port}/health/ready")
            yield process

    def begin(self) -> str:
        """Begin the run, and wait until its tool works."""
        url = f"http://127.0.0.1:{self.port}/agents/alpha/runs"
        token = TOKENS.token("olga", scopes=["agents:run"])
        form = {"message": "work", "background": "true", "stream": "false"}
        headers = {"Authorization": f"Bearer {token}"}
        answer = httpx.post(url, data=form, headers=headers, timeout=20)
        assert answer.status_code == 202, answer.text
        wait_for(lambda: len(self.worked) == 1, "the tool to work")
        run_id: str = answer.json()["run_id"]
        return run_id

    @property
    def worked(self) -> list[str]:
        """The keys under which the tool was called, so far."""
        file = self.folder / "worked"
        return file.read_text().splitlines() if file.exists() else []

    def licet(self, *arguments: str) -> None:
        """Run a command beside the server."""
        subprocess.run(
            licet(*arguments), cwd=self.folder, env={**os.environ, **self.env}, check=True
        )

    def ended(self, run_id: str) -> RunOutput:
        """The run, once it has ended."""

        async def find() -> RunOutput:
            db = SqliteDb(self.folder / "crash.db")
            try:
                run = await db.store(Access("", sees_all=True)).find_run(run_id)
            finally:
                await db.close()
            assert run is not None
            return RunOutput.from_json(run.body)

        wait_for(lambda: asyncio.run(find()).status not in {"PENDING", "RUNNING"}, "the end")
        return asyncio.run(find())


def kill(process: Process) -> None:
    """What kill -9 does, to the server and to nobody else."""
    os.killpg(process.popen.pid, signal.SIGKILL)
    process.popen.wait(timeout=60)


@pytest.fixture
def scene(tmp_path: Path, model_url: str) -> Scene:
    return Scene(tmp_path, model_url)


def model_requests(model_url: str) -> int:
    stats: dict[str, Any] = httpx.get(f"{model_url}/_stats").json()
    return int(stats["requests"])


def test_a_run_goes_on_from_its_last_step_and_repeats_the_call_under_its_key(
    scene: Scene, model_url: str
) -> None:
    before = model_requests(model_url)
    with scene.served() as process:
        run_id = scene.begin()
        kill(process)
    (scene.folder / "go").touch()
    with scene.served():
        output = scene.ended(run_id)
    assert (output.status, output.content) == ("COMPLETED", "done")
    assert scene.worked == [f"{run_id}-0-0"] * 2
    # The model's first answer was stored: it is not asked for that once more.
    assert model_requests(model_url) - before == 2


def test_whoever_was_revoked_while_nobody_worked_does_not_get_the_rest(scene: Scene) -> None:
    with scene.served() as process:
        run_id = scene.begin()
        kill(process)
    scene.licet("revoke", "program.py", "--subject", "olga")
    (scene.folder / "go").touch()
    with scene.served():
        output = scene.ended(run_id)
    assert (output.status, output.error_type) == ("CANCELLED", "revoked")
    assert output.cancellation_reason == "what was issued to the subject before was revoked"
    assert len(scene.worked) == 1
