"""The passwords of an embedded server's roles, in one file that is readable for us alone."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

_BYTES = 24


class Passwords:
    """Names and passwords. Use it under the server's starting lock."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __repr__(self) -> str:
        return f"Passwords({str(self._path)!r})"

    def get(self, name: str) -> str | None:
        """The password of a role; None when it has none yet."""
        return self._read().get(name)

    def make(self, name: str) -> str:
        """The password of a role, generated when it has none yet."""
        return self.get(name) or self.put(name, secrets.token_urlsafe(_BYTES))

    def put(self, name: str, password: str) -> str:
        """Keep a password, and answer it."""
        kept = {**self._read(), name: password}
        # Written whole beside it, then put in its place: a crash leaves the old one or the new one.
        half = self._path.with_suffix(".half")
        half.unlink(missing_ok=True)
        handle = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            json.dump(kept, file)
            file.flush()
            os.fsync(file.fileno())
        half.replace(self._path)
        return password

    def _read(self) -> dict[str, str]:
        try:
            return dict(json.loads(self._path.read_text()))
        except FileNotFoundError:
            return {}
