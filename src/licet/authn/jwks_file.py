"""JwksFile: a key set in a file, read again when the file changes."""

from __future__ import annotations

import asyncio
import logging
import os
import stat
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from licet.authn.jwk import MAX_KEY_SET_BYTES, KeySetError, ParsedKeySet, parse_key_set
from licet.authn.key_set import KeySet
from licet.errors import ConfigurationError

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
# However many tokens name an unknown key, the file is looked at no more often.
_REFETCH_SECONDS = 0.25
# Two changes within the clock of a file system look like one: a file that young is read again.
_YOUNG_SECONDS = 2.0

_Seen = tuple[int, int, int]


class JwksFile:
    """Gives the keys of a file. What cannot be read, or is no set, leaves the last keys in force.

    Args:
        path: the file; also a link that is set to another one.
        allowed: the algorithms that the issuer's tokens may use.
        now: gives epoch seconds.
        monotonic: gives seconds.

    Raises:
        ConfigurationError: the file cannot be read, or has no key that can be used.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        allowed: Iterable[str],
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = Path(path)
        self._allowed = frozenset(allowed)
        self._now = now
        self._monotonic = monotonic
        self._looked_at = monotonic()
        self._looks = 0
        self._complaint: str | None = None
        try:
            seen = self._stat()
            parsed = self._read()
        except (OSError, KeySetError) as error:
            raise ConfigurationError(f"jwks_file {str(self._path)!r}: {_said(error)}") from None
        if not parsed.key_set.keys:
            wrong = parsed.complaint or "the key set is empty"
            raise ConfigurationError(f"jwks_file {str(self._path)!r}: {wrong}")
        self._keys, self._seen = parsed.key_set, self._settled(seen)
        self._warn(parsed)

    def current(self) -> KeySet:
        """The file's keys. It is looked at once a second at most."""
        if self._monotonic() - self._looked_at >= _LOOK_SECONDS:
            self._look()
        return self._keys

    async def refetch(self) -> bool:
        """Look at the file as soon as the interval is over, once for all who wait until then.

        Answers whether its keys have changed.
        """
        before, looks = self._keys, self._looks
        passed = self._monotonic() - self._looked_at
        await asyncio.sleep(max(0.0, _REFETCH_SECONDS - passed))
        if self._looks == looks:
            self._look()
        return self._keys is not before

    async def start(self) -> None:
        """The file was read already."""

    async def close(self) -> None:
        """Nothing is open."""

    def _look(self) -> None:
        self._looks += 1
        self._looked_at = self._monotonic()
        seen = None
        try:
            seen = self._stat()
            if seen == self._seen:
                return
            parsed = self._read()
        except (OSError, KeySetError) as error:
            # What is no set is read once. What could not be read is tried again: a right that was
            # missing may be given without any change of the file.
            self._seen = self._settled(seen) if isinstance(error, KeySetError) else None
            self._complain(_said(error))
            return
        if self._complaint is not None:
            logger.warning("jwks_file %s: can be read again", self._path)
        self._seen, self._complaint = self._settled(seen), None
        if parsed.key_set != self._keys:
            self._keys = parsed.key_set
            logger.info("jwks_file %s: the keys are now: %s", self._path, _names(self._keys))
            self._warn(parsed)

    def _complain(self, reason: str) -> None:
        # Once for each reason, not once a second.
        if reason != self._complaint:
            logger.error("jwks_file %s: the last good keys stay in force: %s", self._path, reason)
        self._complaint = reason

    def _settled(self, seen: _Seen | None) -> _Seen | None:
        """What the file looked like; None where it is so young that it is read once more."""
        if seen is None or self._now() - seen[0] / 1e9 < _YOUNG_SECONDS:
            return None
        return seen

    def _stat(self) -> _Seen:
        found = self._path.stat()
        if not stat.S_ISREG(found.st_mode):
            # A pipe would be waited for, and a device never ends.
            raise KeySetError("it is not a regular file")
        return (found.st_mtime_ns, found.st_size, found.st_ino)

    def _read(self) -> ParsedKeySet:
        with self._path.open("rb") as file:
            text = file.read(MAX_KEY_SET_BYTES + 1)
        return parse_key_set(text, allowed=self._allowed, secrets=True, source="the file")

    def _warn(self, parsed: ParsedKeySet) -> None:
        if parsed.complaint is not None:
            logger.error("jwks_file %s: no token is taken: %s", self._path, parsed.complaint)
        for reason in parsed.skipped:
            logger.warning("jwks_file %s: skipped %s", self._path, reason)


def _said(error: OSError | KeySetError) -> str:
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else str(error)


def _names(keys: KeySet) -> str:
    return ", ".join(key.key_id for key in keys.keys) or "none"
