from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from licet import __version__
from licet.errors import ConfigurationError, LicetError
from tests.cli.conftest import Cli

SCRIPT = Path(sys.executable).with_name("licet")
MODULE = (sys.executable, "-m", "licet")
HEAVY = (
    "fastapi",
    "starlette",
    "sqlalchemy",
    "uvicorn",
    "aiohttp",
    "alembic",
    "openai",
)


def completed(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("command", [(SCRIPT,), MODULE], ids=["script", "module"])
def test_the_version_is_printed(command: tuple[str | Path, ...], tmp_path: Path) -> None:
    result = completed(*command, "--version", cwd=tmp_path)
    assert result.returncode == 0
    assert result.stdout == f"licet {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("keys", "generate"),
        ("token", "mint", "--help"),
        ("routes", "--help"),
        ("serve", "--help"),
        ("keys", "jwks", "--help"),
        ("revoke", "--help"),
        ("revocations", "list", "--help"),
        ("service-accounts", "create", "--help"),
    ],
)
def test_start_up_is_light(arguments: tuple[str, ...], tmp_path: Path) -> None:
    result = completed(sys.executable, "-X", "importtime", "-m", "licet", *arguments, cwd=tmp_path)
    assert result.returncode == 0
    imported = {
        line.rpartition("|")[2].strip().partition(".")[0]
        for line in result.stderr.splitlines()
        if line.startswith("import time:")
    }
    assert "licet" in imported
    assert "typer" in imported
    assert not imported & set(HEAVY)


def test_help_is_plain_text_when_nobody_looks_at_it(tmp_path: Path) -> None:
    result = completed(*MODULE, "--help", cwd=tmp_path)
    assert result.stdout.isascii()
    for command in (
        *("run", "serve", "keys", "token", "routes"),
        *("revoke", "revocations", "service-accounts"),
    ):
        assert f"  {command} " in result.stdout


def test_an_error_is_one_line_and_no_traceback(tmp_path: Path) -> None:
    result = completed(SCRIPT, "serve", "nothing:app", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("licet: there is no module 'nothing'")
    assert result.stderr.count("\n") == 1


def test_a_fault_shows_where_it_is_but_no_values(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("password = 'hunter2'.upper()\nraise RuntimeError('x')\n")
    result = completed(SCRIPT, "serve", "broken:app", cwd=tmp_path)
    assert result.returncode == 1
    assert 'broken.py", line 2' in result.stderr
    assert "HUNTER2" not in result.stderr


def test_an_unknown_command_is_a_usage_error(cli: Cli) -> None:
    assert cli("fly").exit_code == 2


@pytest.mark.parametrize("error", [LicetError("why"), ConfigurationError("why")])
def test_every_error_of_licet_becomes_a_line(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, error: LicetError
) -> None:
    def fail(algorithm: str, *, bits: int | None = None) -> tuple[str, str]:
        raise error

    monkeypatch.setattr("licet.cli.keys.key_pair", fail)
    result = cli("keys", "generate")
    assert result.exit_code == 2
    assert result.stderr == "licet: why\n"
