"""FileSink: events as lines of JSON in a file."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from licet.audit.event import AuditEvent

_MODE = 0o600


class FileSink:
    """Appends each event as one line of JSON. The file is opened anew for each batch: rotate it.

    Several processes may append to one file, as long as it is on a local disk. After a failure a
    batch may stand there twice, and a line that was cut off ends where the next one begins.

    Args:
        path: the file; made with mode 0600 where there is none.
        fsync: wait until the disk has it.
    """

    def __init__(self, path: str | os.PathLike[str], *, fsync: bool = True) -> None:
        self._path = Path(path)
        self._fsync = fsync

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    async def start(self) -> None:
        """Look whether the file can be written.

        Raises:
            OSError: it cannot.
        """
        await asyncio.to_thread(self._append, b"")

    async def write(self, events: Sequence[AuditEvent]) -> None:
        """A line for each.

        Raises:
            OSError: not all of them are written.
        """
        lines = b"".join(msgspec.json.encode(event) + b"\n" for event in events)
        await asyncio.to_thread(self._append, lines)

    async def close(self) -> None:
        """Nothing is open."""

    def _append(self, lines: bytes) -> None:
        append_line(self._path, lines, fsync=self._fsync)


def why_unwritable(path: Path) -> str | None:
    """Why nothing could be appended to a file, which need not exist; None: something could."""
    folder = path.parent
    try:
        if path.exists():
            return None if path.is_file() and os.access(path, os.W_OK) else "it cannot be written"
        may_be_made = folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)
    except OSError as error:
        return str(error.strerror)
    return None if may_be_made else f"it cannot be made in the folder {str(folder)!r}"


def append_line(path: Path, lines: bytes, *, fsync: bool) -> None:
    """Append whole lines to a file.

    Raises:
        OSError: not all of them are written.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _MODE)
    try:
        # Until it is closed: a line that another process is writing is no line that was cut off.
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        rest = memoryview(_after_a_line(descriptor) + lines) if lines else memoryview(b"")
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        if fsync:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _after_a_line(descriptor: int) -> bytes:
    """What has to be written first, so that a line which was cut off spoils no other."""
    size = os.fstat(descriptor).st_size
    return b"\n" if size and os.pread(descriptor, 1, size - 1) != b"\n" else b""
