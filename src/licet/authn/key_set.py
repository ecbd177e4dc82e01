"""KeySet: the keys of an issuer at one moment, and which of them may answer for a token."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from licet.authn.keys import VerificationKey


@dataclass(frozen=True, slots=True)
class KeySet:
    """Keys, immutable. A source gives another object whenever one of them changes.

    ``incomplete``: a source could not be read (or not for too long), so that a key which is not
    here may exist all the same.
    """

    keys: tuple[VerificationKey, ...] = ()
    incomplete: bool = False

    def candidates(self, algorithm: str, key_id: str | None) -> tuple[VerificationKey, ...]:
        """The keys that may have made a signature (RFC 7515 §4.1.4).

        A token that names a key (``kid``) is checked with the keys of that name; where there are
        none, with the keys that have no name (PEM). A token that names none is checked with the
        keys that have no name, and with a named one only if it is the only key that fits.
        """
        fitting = [key for key in self.keys if algorithm in key.algorithms]
        if key_id is not None:
            named = tuple(key for key in fitting if key.named and key.key_id == key_id)
            if named or self.has(key_id):
                return named
        unnamed = tuple(key for key in fitting if not key.named)
        if unnamed or key_id is not None or len(fitting) != 1:
            return unnamed
        return tuple(fitting)

    def has(self, key_id: str) -> bool:
        """Whether a key of that name is here."""
        return any(key.named and key.key_id == key_id for key in self.keys)


def merged(sets: Iterable[KeySet]) -> KeySet:
    """All keys of several sets, each once; incomplete if one of them is."""
    parts = tuple(sets)
    keys = dict.fromkeys(key for part in parts for key in part.keys)
    return KeySet(tuple(keys), incomplete=any(part.incomplete for part in parts))
