"""What the tests of deploy/ share: its files, and how long a server may take to end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from licet.audit import recorder
from licet.os import Settings, server
from licet.runs import dbos_engine, durable, executor

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
SECRETS_FOLDER = "/run/secrets"
# Where something is stuck, beside the time that open responses and runs have.
STUCK_SECONDS = (
    durable._CANCEL_SECONDS
    + dbos_engine._CANCEL_SECONDS
    + executor._JOIN_SECONDS
    + server._LAST_WORDS_AT_THE_END_SECONDS
    + recorder._CLOSE_SECONDS
)


def seconds_to_end() -> float:
    """How long a server with the usual settings takes to end, at most."""
    return 2 * Settings().shutdown_grace_seconds + STUCK_SECONDS


def read_yaml(file: Path) -> Any:
    """The one document of a file."""
    return yaml.safe_load(file.read_text())
