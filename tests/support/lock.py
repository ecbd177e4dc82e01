"""What only one test at a time may use, over all worker processes: a port that a program fixes."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def alone(name: str) -> Iterator[None]:
    """Wait until nobody else uses what is so named, and use it."""
    with (Path(tempfile.gettempdir()) / f"licet-tests-{os.getuid()}-{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
