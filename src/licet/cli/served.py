"""``app``: what the processes of ``licet serve --reload`` and ``--workers`` serve.

They start with a fresh interpreter and find the app by import. An environment variable tells them
which program it is in.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from licet.cli.target import load_agent_os

if TYPE_CHECKING:
    from fastapi import FastAPI

APP = "licet.cli.served:app"
TARGET_VARIABLE = "LICET_SERVED"


def __getattr__(name: str) -> FastAPI:
    """Load the app when it is first asked for."""
    target = os.environ.get(TARGET_VARIABLE)
    if name != "app" or target is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return load_agent_os(target).get_app()
