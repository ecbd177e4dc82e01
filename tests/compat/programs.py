"""Python programs run in processes of their own."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

RUN = (
    # As in a command line that has read its libraries already.
    "import multiprocessing, sys; from licet.compat import run_script; "
    "run_script(sys.argv[1], alias=sys.argv[2] or None, argv=sys.argv[3:])"
)


def run_code(code: str) -> subprocess.CompletedProcess[str]:
    """Run Python source in a fresh interpreter."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def script_command(path: Path | str, *argv: str, alias: str | None = "agno") -> list[str]:
    """The command that runs a file through ``run_script``."""
    return [sys.executable, "-c", RUN, str(path), alias or "", *argv]


def run_file(
    path: Path | str, *argv: str, alias: str | None = "agno", cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a file through ``run_script`` in a fresh interpreter."""
    return subprocess.run(
        script_command(path, *argv, alias=alias),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=cwd,
    )
