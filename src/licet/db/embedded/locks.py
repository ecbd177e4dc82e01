"""Locks between processes (``flock``): the kernel takes them back however a process ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def exclusively(path: Path) -> Iterator[None]:
    """Wait until no other process is in here, and keep them out meanwhile."""
    handle = _opened(path)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def share(path: Path) -> int:
    """Take the shared lock, once nobody holds the exclusive one. Closing it gives it back."""
    handle = _opened(path)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH)
    except BaseException:
        os.close(handle)
        raise
    return handle


def is_free(path: Path) -> bool:
    """Whether nobody holds a lock."""
    return _could_take(path, fcntl.LOCK_EX)


def is_shared(path: Path) -> bool:
    """Whether others hold the shared lock."""
    return not is_free(path) and _could_take(path, fcntl.LOCK_SH)


def _could_take(path: Path, how: int) -> bool:
    handle = _opened(path)
    try:
        fcntl.flock(handle, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        return True
    finally:
        os.close(handle)


def _opened(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
