from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.programs import write

SHOW = "import sys\n\nprint(__name__, sys.argv[1:])\n"


def licet_run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "licet", "run", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    "arguments",
    [[], ["a", "b"], ["--as", "x"], ["--help"], ["-v", "--", "--port=1"], ["--", "a"]],
)
def test_what_stands_after_the_script_is_the_scripts(tmp_path: Path, arguments: list[str]) -> None:
    write(tmp_path, "show.py", SHOW)
    result = licet_run(tmp_path, "show.py", *arguments)
    assert result.stdout == f"__main__ {arguments!r}\n"
    assert result.returncode == 0


def test_imports_are_mapped_onto_licet(tmp_path: Path) -> None:
    write(tmp_path, "mapped.py", "from agno.errors import LicetError\n\nprint(LicetError)\n")
    result = licet_run(tmp_path, "--as", "agno", "mapped.py")
    assert result.stdout == "<class 'licet.errors.LicetError'>\n"


def test_the_scripts_exit_code_is_the_commands(tmp_path: Path) -> None:
    write(tmp_path, "leave.py", "raise SystemExit(7)\n")
    assert licet_run(tmp_path, "leave.py").returncode == 7


def test_a_script_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    result = licet_run(tmp_path, "none.py")
    assert result.returncode == 2
    assert result.stderr == "licet: 'none.py' is not a Python file\n"
