"""Verified tokens, remembered: a signature costs fifty times what looking it up costs."""

from __future__ import annotations

import hashlib
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from licet.authn.jwt import TokenVerifier, Verified
from licet.authn.principal import Principal
from licet.errors import ConfigurationError

_ENTRY_BYTES = 1024
"""What an entry takes besides its claims: the principal, the digest, the places in the table."""


@dataclass(frozen=True, slots=True)
class _Entry:
    verified: Verified
    verified_at: float
    size_bytes: int


class CachingVerifier:
    """Remembers what a verifier has said, by the token's digest and never past its expiry.

    An answer counts only as long as the issuer's keys are those that it was found with, and the
    clock was not set back. Refusals are not remembered: they would let strangers fill the cache.
    What was not used for longest makes room. For one event loop; not for several threads at once.

    Args:
        verifier: asked about tokens that are not known.
        max_tokens: how many are remembered; 0: none.
        max_bytes: how much memory they may take, roughly.
        now: gives epoch seconds.

    Raises:
        ConfigurationError: ``max_tokens`` or ``max_bytes`` is negative.
    """

    def __init__(
        self,
        verifier: TokenVerifier,
        *,
        max_tokens: int,
        max_bytes: int = 32 * 1024 * 1024,
        now: Callable[[], float] = time.time,
    ) -> None:
        if max_tokens < 0 or max_bytes < 0:
            raise ConfigurationError(
                f"a cache of {max_tokens} tokens and {max_bytes} bytes; 0 turns it off"
            )
        self._verifier = verifier
        self._max_tokens = max_tokens
        self._max_bytes = max_bytes
        self._now = now
        self._known: OrderedDict[bytes, _Entry] = OrderedDict()
        self._size_bytes = 0

    def __len__(self) -> int:
        return len(self._known)

    @property
    def size_bytes(self) -> int:
        """How much memory the remembered tokens take, roughly."""
        return self._size_bytes

    def verify(self, token: bytes) -> Principal:
        """Who the token speaks for.

        Raises:
            TokenRefusedError: it does not verify.
        """
        digest = hashlib.sha256(token).digest()
        known = self._known.get(digest)
        if known is not None:
            if _is_current(known, self._now()):
                self._known.move_to_end(digest)
                return known.verified.principal
            self._forget(digest)
        verified = self._verifier.verify(token)
        self._remember(digest, verified)
        return verified.principal

    def _remember(self, digest: bytes, verified: Verified) -> None:
        now = self._now()
        entry = _Entry(verified, now, _size_bytes(verified.principal))
        # What can never fit makes nobody else go.
        if entry.size_bytes > self._max_bytes or not _is_current(entry, now):
            return
        self._known[digest] = entry
        self._size_bytes += entry.size_bytes
        while self._known:
            oldest = next(iter(self._known))
            fits = len(self._known) <= self._max_tokens and self._size_bytes <= self._max_bytes
            # What has expired at the end where the unused gather goes too.
            if fits and _is_current(self._known[oldest], now):
                return
            self._forget(oldest)

    def _forget(self, digest: bytes) -> None:
        self._size_bytes -= self._known.pop(digest).size_bytes


def _is_current(entry: _Entry, now: float) -> bool:
    expires_at = entry.verified.principal.expires_at
    # Without leeway: in the last seconds that it grants, the verifier answers each time. And a
    # clock that was set back may show a time at which the token was not valid yet.
    return (
        expires_at is not None
        and entry.verified_at <= now < expires_at
        and entry.verified.keys_are_current
    )


def _size_bytes(principal: Principal) -> int:
    # Of a text of scopes each becomes a text of its own, which takes more than its letters.
    return _ENTRY_BYTES + _deep_size_bytes(principal.claims) + _deep_size_bytes(principal.scopes)


def _deep_size_bytes(value: Any) -> int:
    size = sys.getsizeof(value)
    if isinstance(value, Mapping):
        # The proxy does not tell the size of the dictionary behind it.
        size += sys.getsizeof(dict(value))
        return size + sum(sys.getsizeof(k) + _deep_size_bytes(v) for k, v in value.items())
    if isinstance(value, tuple):
        return size + sum(map(_deep_size_bytes, value))
    return size
