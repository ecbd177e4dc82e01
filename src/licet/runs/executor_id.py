"""What a process is called where the runs are stored that it works on."""

from __future__ import annotations

import os
import secrets
import socket

_MAX_HOST_CHARS = 64


def new_executor_id() -> str:
    """A name that no other process has or will have: its host, its number, and something random."""
    host = socket.gethostname()[:_MAX_HOST_CHARS] or "unknown"
    return f"{host}-{os.getpid()}-{secrets.token_hex(4)}"
