from __future__ import annotations

import re
from pathlib import Path

import httpx

from tests.support.durable_place import wait_for
from tests.support.process import free_port, licet, running

PROGRAM = """
from licet.agent import Agent
from licet.db.sqlite import SqliteDb
from licet.os import AgentOS
from licet.telemetry import Telemetry
from licet.testing import ScriptedModel

agent_os = AgentOS(
    agents=[Agent(id="alpha", model=ScriptedModel([]))],
    db=SqliteDb("os.db"),
    telemetry=Telemetry(),
)
app = agent_os.get_app()
"""


def test_each_worker_answers_for_itself_and_says_which_it_is(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = licet("serve", "program:app", "--port", str(port), "--workers", "2")
    seen: set[str] = set()

    def scrape() -> None:
        text = httpx.get(f"{url}/telemetry/metrics").text
        series = [line for line in text.splitlines() if line and not line.startswith("#")]
        named = [re.findall(r'service_instance_id="([^"]+)"', line) for line in series]
        # All series of an answer are one worker's, and each says so.
        assert all(ids == named[0] for ids in named)
        seen.update(named[0])

    def both_were_heard() -> bool:
        scrape()
        return len(seen) == 2

    with running(command, cwd=tmp_path) as process:
        process.wait_until_serving(f"{url}/health")
        wait_for(both_were_heard, "an answer of each worker")
