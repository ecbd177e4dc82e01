"""Backlog: the frames of one run in their order, of which all but the newest are compressed.

The frames of an answer differ in little but a word each. As they are, those of a thousand tokens
take some 300 KiB; compressed it is less than a tenth of that, for less than a microsecond each.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Self

import msgspec

# An answer that comes in a few pieces is left as it is: it is over before it takes room for long.
_FETCHES = 8
_FETCHED_BYTES = 4 * 1024
# What readers have not fetched would be unpacked again for each of them.
_UNFETCHED_BYTES = 32 * 1024
# What is large by itself is left as it is: everybody would wait until it is compressed.
_MAX_PACK_BYTES = 64 * 1024
_SAMPLE_BYTES = 1024
_LEVEL = 1

_decoder = msgspec.msgpack.Decoder(list[bytes])


@dataclass(frozen=True, slots=True)
class _Pack:
    """So many frames, as MessagePack, compressed. ``sample`` is what they are likely to be like."""

    count: int
    packed: bytes
    sample: bytes

    @classmethod
    def of(cls, frames: Sequence[bytes], *, sample: bytes) -> Self:
        packing = zlib.compressobj(_LEVEL, zdict=sample)
        packed = packing.compress(msgspec.msgpack.encode(frames)) + packing.flush()
        return cls(len(frames), packed, sample)

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[bytes]:
        return iter(_decoder.decode(zlib.decompressobj(zdict=self.sample).decompress(self.packed)))


class Backlog:
    """Frames. They come out as they were put in: those that were packed are unpacked anew."""

    __slots__ = ("_fetches", "_newest", "_newest_bytes", "_oldest", "_packs", "_sample")

    def __init__(self) -> None:
        # Of a pack whose first frames were taken out, what is left.
        self._oldest: list[bytes] = []
        self._packs: list[_Pack | list[bytes]] = []
        self._newest: list[bytes] = []
        self._newest_bytes = 0
        self._fetches = 0
        self._sample = b""

    def __iter__(self) -> Iterator[bytes]:
        """All of them, the oldest first."""
        return chain.from_iterable((self._oldest, *self._packs, self._newest))

    @property
    def last(self) -> bytes:
        """The newest frame; empty where there is none."""
        return self._newest[-1] if self._newest else b""

    def append(self, frame: bytes, *, fetched: bool) -> None:
        """Add a frame. ``fetched``: readers have all that came before it."""
        self._fetches += fetched
        often = fetched and self._fetches >= _FETCHES
        if self._newest_bytes > (_FETCHED_BYTES if often else _UNFETCHED_BYTES):
            self._pack()
        self._newest.append(frame)
        self._newest_bytes += len(frame)

    def newest(self, count: int) -> Iterator[bytes]:
        """So many of the newest frames, in their order."""
        parts: list[_Pack | list[bytes]] = []
        more = -count
        for part in chain((self._newest,), reversed(self._packs), (self._oldest,)):
            parts.append(part)
            more += len(part)
            if more >= 0:
                break
        return islice(chain.from_iterable(reversed(parts)), max(more, 0), None)

    def pop_oldest(self) -> bytes:
        """Take the oldest frame out. There has to be one.

        Raises:
            IndexError: there is none.
        """
        if not self._oldest and self._packs:
            self._oldest = list(self._packs.pop(0))
        if self._oldest:
            return self._oldest.pop(0)
        frame = self._newest.pop(0)
        self._newest_bytes -= len(frame)
        return frame

    def _pack(self) -> None:
        frames = self._newest
        if self._newest_bytes > _MAX_PACK_BYTES:
            self._packs.append(frames)
        else:
            self._sample = self._sample or frames[-1][-_SAMPLE_BYTES:]
            self._packs.append(_Pack.of(frames, sample=self._sample))
        self._newest, self._newest_bytes = [], 0
