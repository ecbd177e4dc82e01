"""The licet command in the process of the tests: a new one imports everything anew."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from typer.testing import CliRunner, Result

from licet.cli.app import app


def called(*arguments: str, cwd: Path, env: Mapping[str, str] | None = None) -> Result:
    """What the command says and answers, called in a folder."""
    with contextlib.chdir(cwd), _forgotten(cwd):
        return CliRunner().invoke(app, arguments, env=env)


@contextlib.contextmanager
def _forgotten(folder: Path) -> Iterator[None]:
    """Forget what is imported from a folder: the next one has another program of that name."""
    path, modules = list(sys.path), set(sys.modules)
    try:
        yield
    finally:
        sys.path[:] = path
        for name in set(sys.modules) - modules:
            file = getattr(sys.modules[name], "__file__", None)
            if file and Path(file).is_relative_to(folder):
                del sys.modules[name]
