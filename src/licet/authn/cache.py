"""Verified tokens, remembered: a signature costs fifty times what looking it up costs."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable

from licet.authn.bearer import TokenVerifier
from licet.authn.principal import Principal
from licet.errors import ConfigurationError


class CachingVerifier:
    """Remembers what a verifier has said, by the token's digest and never past its expiry.

    Refusals are not remembered: they would let strangers fill the cache. What was not used for
    longest makes room. For one event loop; not for several threads at once.

    Args:
        verifier: asked about tokens that are not known.
        max_tokens: how many are remembered; 0: none.
        now: gives epoch seconds.

    Raises:
        ConfigurationError: ``max_tokens`` is negative.
    """

    def __init__(
        self, verifier: TokenVerifier, *, max_tokens: int, now: Callable[[], float] = time.time
    ) -> None:
        if max_tokens < 0:
            raise ConfigurationError(f"a cache of {max_tokens} tokens; 0 turns it off")
        self._verifier = verifier
        self._max_tokens = max_tokens
        self._now = now
        self._known: OrderedDict[bytes, Principal] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def verify(self, token: bytes) -> Principal:
        """Who the token speaks for.

        Raises:
            TokenRefusedError: it does not verify.
        """
        digest = hashlib.sha256(token).digest()
        known = self._known.get(digest)
        if known is not None:
            if self._is_current(known):
                self._known.move_to_end(digest)
                return known
            del self._known[digest]
        principal = self._verifier.verify(token)
        if self._is_current(principal):
            self._known[digest] = principal
            self._make_room()
        return principal

    def _is_current(self, principal: Principal) -> bool:
        # Without leeway: in the last seconds that it grants, the verifier answers each time.
        return principal.expires_at is not None and self._now() < principal.expires_at

    def _make_room(self) -> None:
        """Drop what is too much, and what has expired at the end where the unused gather."""
        while self._known:
            oldest = next(iter(self._known.values()))
            if len(self._known) <= self._max_tokens and self._is_current(oldest):
                return
            self._known.popitem(last=False)
