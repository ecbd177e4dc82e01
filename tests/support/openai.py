"""The scripted OpenAI server, as a process of its own."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.process import running


@contextmanager
def scripted_openai(script: Mapping[str, Any]) -> Iterator[str]:
    """Serve a script; answers the server's address, without ``/v1``."""
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "script.json"
        file.write_text(json.dumps(script))
        command: list[str | Path] = [
            sys.executable,
            "-m",
            "licet.testing.openai_server",
            "--script",
            file,
        ]
        with running(command, cwd=Path(name)) as process:
            process.wait_for(lambda: bool(process.lines), what="the server's address")
            yield process.lines[0].strip().removesuffix("/v1")
