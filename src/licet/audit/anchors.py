"""Anchors: heads of the chain, kept in a second place from time to time.

Who can write the database and has the key could cut the end of a chain off, or a whole writer. What
was anchored elsewhere by then is missed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from licet.audit.file_sink import append_line

logger = logging.getLogger("licet.audit.anchors")

_MARK = "licet_audit_anchor"
_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """How far a writer had come.

    Attributes:
        writer_id, writer_number: which writer, and the number of its registration.
        seq: of its last record; 0: it had none.
        hash: of that record; of the registration, where there was none.
        time_us: when, epoch microseconds.
        key_id, signature: None where there is no key.
    """

    writer_id: str
    writer_number: int
    seq: int
    hash: str
    time_us: int
    key_id: str | None = None
    signature: str | None = None

    def message(self) -> bytes:
        """What is signed."""
        covered = (self.writer_id, self.writer_number, self.seq, self.hash, self.time_us)
        return json.dumps(["licet.audit.anchor.1", *covered], separators=(",", ":")).encode()

    def line(self) -> str:
        """One line of JSON."""
        return json.dumps({_MARK: _VERSION, **asdict(self)}, separators=(",", ":"))


@runtime_checkable
class AnchorSink(Protocol):
    """Keeps anchors."""

    async def keep(self, anchor: Anchor) -> None:
        """Keep one.

        Raises:
            Exception: it is not known to be kept; a later one comes.
        """


class AnchorLog:
    """Logs anchors, to the logger ``licet.audit.anchors``: good where logs leave the machine."""

    async def keep(self, anchor: Anchor) -> None:
        """A line."""
        logger.info("%s", anchor.line())


class AnchorFile:
    """Appends anchors to a file: good where another user, or another machine, keeps it."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    async def keep(self, anchor: Anchor) -> None:
        """A line.

        Raises:
            OSError: it is not written.
        """
        line = anchor.line().encode() + b"\n"
        await asyncio.to_thread(append_line, self._path, line, fsync=True)


def anchors_in(lines: Iterable[str]) -> Iterator[Anchor]:
    """The anchors in a file or a log: each at the end of its line, whatever stands before it.

    Something behind it means that it is part of another text. What a client sent is logged, too:
    whoever asks for a path that looks like an anchor must not be taken for a writer.
    """
    for line in lines:
        start = line.rfind('{"' + _MARK + '"')
        if start < 0:
            continue
        try:
            anchor = _anchor(json.loads(line[start:]))
        except (ValueError, TypeError, RecursionError):
            continue
        yield anchor


def _anchor(value: dict[str, Any]) -> Anchor:
    if value.pop(_MARK) != _VERSION:
        raise ValueError(_MARK)
    anchor = Anchor(**value)
    for name in ("writer_number", "seq", "time_us"):
        number = getattr(anchor, name)
        if type(number) is not int or number < 0:
            raise TypeError(name)
    for name in ("writer_id", "hash"):
        if not isinstance(getattr(anchor, name), str):
            raise TypeError(name)
    for name in ("key_id", "signature"):
        if not isinstance(getattr(anchor, name), str | None):
            raise TypeError(name)
    return anchor
