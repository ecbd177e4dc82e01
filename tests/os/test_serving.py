from __future__ import annotations

import re
import sys
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from licet.errors import ConfigurationError
from tests.support.process import Process, free_port, running
from tests.support.world import World

PROGRAM = """
import sys

from licet.agent import Agent
from licet.db.in_memory import InMemoryDb
from licet.os import AgentOS
from licet.testing import ScriptedModel

agent_os = AgentOS(agents=[Agent(id="alpha", model=ScriptedModel([]))], db=InMemoryDb())
app = agent_os.get_app()

if __name__ == "__main__":
    agent_os.serve({app}port=int(sys.argv[1]), workers={workers})
"""


@pytest.mark.parametrize(
    "given", [{"reload": True}, {"workers": 2}, {"reload": True, "workers": 3}]
)
@pytest.mark.parametrize("own", [True, False])
def test_new_processes_need_the_app_as_text(given: dict[str, bool | int], own: bool) -> None:  # noqa: FBT001 - a case
    app = None if own else FastAPI()
    with pytest.raises(ConfigurationError, match="the app as text"):
        World().agent_os().serve(app, **given)  # type: ignore[arg-type]  # one of the two


def wait_for_line(process: Process, pattern: str) -> None:
    """Wait until a program has printed such a line."""
    process.wait_for(
        lambda: any(re.fullmatch(pattern, line) for line in process.lines), what=pattern
    )


@pytest.mark.parametrize(
    ("app", "workers"),
    [("", "None"), ("app, ", "1"), ('"program:app", ', "2")],
    ids=["its own app", "an app", "text"],
)
def test_a_program_serves_until_it_is_stopped(tmp_path: Path, app: str, workers: str) -> None:
    (tmp_path / "program.py").write_text(PROGRAM.format(app=app, workers=workers))
    port = free_port()
    # Not as a file: the folder is found because it is the current one.
    program = f"import sys, runpy; sys.argv[1:] = ['{port}']; sys.path.remove(''); "
    program += "runpy.run_path('program.py', run_name='__main__')"
    url = f"http://127.0.0.1:{port}"
    with running([sys.executable, "-c", program], cwd=tmp_path) as process:
        process.wait_until_serving(f"{url}/health")
        answer = httpx.get(f"{url}/agents")
        assert [agent["id"] for agent in answer.json()] == ["alpha"]
        assert "server" not in answer.headers
        by_proxy = {"X-Forwarded-For": "127.0.0.1", "X-Request-ID": "r-77"}
        assert httpx.get(f"{url}/agents", headers=by_proxy).status_code == 403
        told = r"INFO: +\[r-77\] denied 403 GET .*"
        access = r'INFO: +\[r-77\] 127\.0\.0\.1:\d+ - "GET /agents HTTP/1\.1" 403 Forbidden'
        for line in (told, access, r"INFO: +\[-\] .*startup complete.*"):
            wait_for_line(process, line)
