"""What the figures were taken on: the machine, and the versions of both sides."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

OURS = ("licet", "fastapi", "uvicorn", "uvloop", "httptools", "aiohttp", "msgspec", "pyjwt")
PEER = ("agno", "fastapi", "uvicorn", "uvloop", "httptools", "openai", "sqlalchemy", "pyjwt")
_ASKED = """
import json, platform, sys
from importlib.metadata import version
said = {name: version(name) for name in sys.argv[1:]}
print(json.dumps({"Python": platform.python_version(), **said}))
"""


def machine() -> str:
    """The machine in a line, with what else it does at this moment."""
    info = Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line.split(":")[1].strip() for line in info if line.startswith("model name")), "")
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores ({name or platform.machine()}), {gib:.0f} GiB, "
        f"{platform.system()}; load average before: {os.getloadavg()[0]:.1f}"
    )


def versions(peer_python: str | None) -> Mapping[str, str]:
    """The versions of each side, in a line."""
    sides = {"licet": _versions(sys.executable, OURS)}
    if peer_python is not None:
        sides["AgentOS"] = _versions(peer_python, PEER)
    return sides


def _versions(python: str, packages: tuple[str, ...]) -> str:
    said = subprocess.check_output([python, "-P", "-c", _ASKED, *packages])
    return ", ".join(f"{name} {version}" for name, version in json.loads(said).items())
