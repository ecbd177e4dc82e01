from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.cli.programs import APP, OPEN, UNDECLARED_ROUTE, stored, write

ASK = ("explain", "small")


def minted(cli: Cli, *options: str) -> str:
    """A token of the program's own auth server."""
    result = cli("token", "mint", "--key", "private.pem", "--sub", "uma", *options)
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


def test_who_asks_what_is_looked_at_and_why(cli: Cli, program: Path) -> None:
    token = minted(cli, "--scope", "agents:run", "--scope", "agents:fly")
    result = cli(*ASK, "POST", "/agents/helper/runs", "--token", token)
    assert result.exit_code == 0, result.output
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert "principal user default|uma" in lines
    assert "scopes agents:run agents:fly" in lines
    assert any(line.startswith("grants nothing agents:fly: agents has no") for line in lines)
    assert "route POST /agents/{agent_id}/runs" in lines
    assert "needs agents:run" in lines
    assert "agents:run on helper ScopeAuthorizer allow the caller holds agents:run" in lines
    assert lines[-1] == "Allowed [scope:agents:run]: the caller holds agents:run"
    assert token not in result.output


def test_a_denial_fails(cli: Cli, program: Path) -> None:
    result = cli(*ASK, "GET", "/agents", "--token", minted(cli, "--scope", "agents:run"))
    assert result.exit_code == 1
    assert result.stdout.splitlines()[-1] == (
        "Denied, 403 [scope:agents:read]: the caller does not hold agents:read"
    )


@pytest.mark.parametrize(
    ("asked", "options", "last"),
    [
        ("GET /health", [], "Allowed [public]: the route is public"),
        ("GET /agents", [], "Denied, 401 [no_credentials]: Authorization header missing"),
        ("GET /gone", ["--scope", "agents:read"], "Denied, 404 [no_route]: no route is at"),
        ("GET /agents", ["--token", "junk"], "Denied, 401 [token_refused]: not three segments"),
    ],
)
def test_other_answers(cli: Cli, program: Path, asked: str, options: list[str], last: str) -> None:
    result = cli(*ASK, *asked.split(), *options)
    assert result.stdout.splitlines()[-1].startswith(last)
    assert result.exit_code == (0 if last.startswith("Allowed") else 1)


def test_an_undeclared_route_is_told(cli: Cli, folder: Path) -> None:
    write(folder, "small.py", stored() + APP + UNDECLARED_ROUTE)
    result = cli(*ASK, "GET", "/reports", "--scope", "agents:read")
    assert "it declares nothing: the administrator's alone" in result.stdout
    assert "[undeclared]" in result.stdout


def test_a_revoked_token_is_told_of(cli: Cli, program: Path) -> None:
    token = minted(cli, "--scope", "agents:read", "--claim", 'jti="t-1"')
    (program / "uma.token").write_text(token)
    assert cli(*ASK, "GET", "/agents", "--token-file", "uma.token").exit_code == 0
    assert cli("revoke", "small", "--token-id", "t-1").exit_code == 0
    result = cli(*ASK, "GET", "/agents", "--token-file", "uma.token")
    assert result.stdout.splitlines()[-1] == ("Denied, 401 [token_revoked]: the token was revoked")


def test_a_token_on_standard_input(cli: Cli, program: Path) -> None:
    token = minted(cli, "--scope", "agents:read")
    result = cli(*ASK, "GET", "/agents", "--token", "-", input=token)
    assert result.exit_code == 0


def test_for_programs_it_is_json(cli: Cli, program: Path) -> None:
    result = cli(*ASK, "GET", "/agents", "--scope", "agents:read", "--json")
    told = json.loads(result.stdout)
    assert (told["decision"], told["rule"]) == ("allow", "scope:agents:read")
    assert told["principal"]["owner"] == "default|somebody"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["GET", "agents"], "path"),
        (["G-T", "/agents"], "method"),
        (["GET", "/agents", "--token", "x", "--scope", "y"], "exclude each other"),
    ],
)
def test_what_is_no_question_is_said(
    cli: Cli, program: Path, arguments: list[str], complaint: str
) -> None:
    result = cli(*ASK, *arguments)
    assert result.exit_code == 2
    assert complaint in result.stderr


def test_without_authorization_there_is_nothing_to_explain(cli: Cli, folder: Path) -> None:
    write(folder, "small.py", OPEN)
    result = cli(*ASK, "GET", "/agents")
    assert result.exit_code == 2
    assert "authorization is off" in result.stderr
