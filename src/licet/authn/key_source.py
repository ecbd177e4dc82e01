"""KeySource: where the keys of an issuer come from, and how they are kept current."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from licet.authn.key_set import KeySet, merged


class KeySource(Protocol):
    """Gives the keys that are good now. Used on one event loop."""

    def current(self) -> KeySet:
        """The keys as they are now: quick, never raises. The same object until one changes."""

    async def refetch(self) -> bool:
        """Ask anew because a token names a key that is not here.

        Callers at the same time share one question, and there is at most one in the interval that
        the source states. Answers whether it asked and ``current()`` gives another set than before.
        """

    async def start(self) -> None:
        """Read the keys for the first time, and begin to keep them current."""

    async def close(self) -> None:
        """Stop that. A source can be started again."""


class StaticKeys:
    """Keys that stand in the configuration and never change."""

    def __init__(self, key_set: KeySet) -> None:
        self._key_set = key_set

    def current(self) -> KeySet:
        """These keys."""
        return self._key_set

    async def refetch(self) -> bool:
        """There is nobody to ask."""
        return False

    async def start(self) -> None:
        """Nothing has to be read."""

    async def close(self) -> None:
        """Nothing has to be stopped."""


class MergedKeys:
    """The keys of several sources together."""

    def __init__(self, sources: Sequence[KeySource]) -> None:
        self._sources = tuple(sources)
        self._parts: tuple[KeySet, ...] = ()
        self._merged = KeySet()

    def current(self) -> KeySet:
        """All keys, each once."""
        parts = tuple(source.current() for source in self._sources)
        if len(parts) != len(self._parts) or any(
            part is not known for part, known in zip(parts, self._parts, strict=True)
        ):
            self._parts, self._merged = parts, merged(parts)
        return self._merged

    async def refetch(self) -> bool:
        """Ask every source that can be asked."""
        return any([await source.refetch() for source in self._sources])

    async def start(self) -> None:
        """Start all."""
        for source in self._sources:
            await source.start()

    async def close(self) -> None:
        """Close all."""
        for source in self._sources:
            await source.close()
