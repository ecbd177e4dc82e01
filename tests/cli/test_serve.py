from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest

from tests.cli.conftest import Cli
from tests.cli.programs import APP, UNDECLARED_ROUTE, guarded, write
from tests.support.process import free_port, licet, running


def mint(cli: Cli, *scopes: str) -> dict[str, str]:
    options = [part for scope in scopes for part in ("--scope", scope)]
    result = cli("token", "mint", "--key", "private.pem", "--sub", "alice", *options)
    return {"Authorization": f"Bearer {result.stdout.strip()}"}


@pytest.mark.parametrize(
    ("target", "options"),
    [
        ("small:app", []),
        ("small:agent_os", ["--no-access-log"]),
        ("small.py:agent_os", ["--workers", "2"]),
        ("small:agent_os", ["--reload"]),
    ],
    ids=["app", "agent_os", "workers", "reload"],
)
def test_a_served_agent_answers_a_minted_token_and_nobody_else(
    cli: Cli, folder: Path, target: str, options: Sequence[str]
) -> None:
    write(folder, "small.py", guarded() + APP + UNDECLARED_ROUTE)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with running(licet("serve", target, "--port", str(port), *options), cwd=folder) as process:
        process.wait_until_serving(f"{url}/health")
        assert httpx.get(f"{url}/agents").status_code == 401
        reader = mint(cli, "agents:read")
        answer = httpx.get(f"{url}/agents", headers=reader)
        assert answer.status_code == 200
        assert [agent["id"] for agent in answer.json()] == ["helper"]
        run = {"message": "Hi", "stream": "false"}
        assert httpx.post(f"{url}/agents/helper/runs", data=run, headers=reader).status_code == 403
        assert httpx.get(f"{url}/reports", headers=reader).status_code == 403
        answer = httpx.post(f"{url}/agents/helper/runs", data=run, headers=mint(cli, "agents:run"))
        assert answer.status_code == 200
        assert answer.json()["content"] == "Hello"
    assert ('"GET /agents HTTP/1.1" 401' in process.output) is ("--no-access-log" not in options)
    assert "BEGIN PRIVATE" not in process.output
    assert "eyJ" not in process.output


@pytest.mark.parametrize("options", [[], ["--workers", "2"]], ids=["one process", "workers"])
def test_the_log_is_json_where_it_is_asked_for(
    cli: Cli, folder: Path, options: Sequence[str]
) -> None:
    write(folder, "small.py", guarded() + APP)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = licet("serve", "small:app", "--port", str(port), "--log-format", "json", *options)
    with running(command, cwd=folder) as process:
        process.wait_until_serving(f"{url}/health")
        headers = {**mint(cli, "agents:read"), "X-Request-ID": "r-7"}
        assert httpx.get(f"{url}/agents", headers=headers).status_code == 200
    # Workers begin to write before they have been told how.
    lines = [json.loads(line) for line in process.lines if line.startswith("{")]
    (access,) = [line for line in lines if line.get("request_id") == "r-7"]
    assert (access["path"], access["status"]) == ("/agents", 200)
    assert access["principal"] == "default|alice"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["small:nothing"], "small has no attribute 'nothing'"),
        (["small:nothing", "--workers", "2"], "small has no attribute 'nothing'"),
        (["small:nothing", "--reload"], "small has no attribute 'nothing'"),
        (["small", "--reload", "--workers", "2"], "--reload and --workers exclude each other"),
    ],
)
def test_what_cannot_be_served_is_one_line(
    cli: Cli, folder: Path, arguments: list[str], message: str
) -> None:
    write(folder, "small.py", guarded())
    result = cli("serve", *arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"licet: {message}")
    assert result.stderr.count("\n") == 1


def test_a_server_that_would_be_unsafe_does_not_start(cli: Cli, folder: Path) -> None:
    write(folder, "unsafe.py", "from licet.os import AgentOS\n\nAgentOS(authorization=True)\n")
    result = cli("serve", "unsafe")
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
