"""Who is asking: the Principal, and the key under which its rows are stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class PrincipalKind(StrEnum):
    """What sort of caller a principal is."""

    USER = "user"
    SERVICE = "service"
    INTERNAL = "internal"


SERVICE_ALIAS = "@service"
"""The issuer alias of service accounts. No issuer can be given it: aliases hold no ``@``."""

SERVICE_PREFIX = "sa:"
"""How the subject of a service account begins, and that of no token."""


def owner_key(issuer_alias: str, subject: str) -> str:
    """The owner of rows: (issuer alias, subject) in one string.

    An alias holds no ``|``, so two different pairs never give the same key.
    """
    return f"{issuer_alias}|{subject}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """A caller whose credential was verified. Never holds the raw token.

    ``issued_at`` and ``expires_at`` are epoch seconds; ``token_id`` is the ``jti``, else a digest
    of the token's signing input (of a service account: its id); ``key_id`` names the key that made
    the signature, not the one that the token claims (of a service account: the SHA-256 digest of
    the token that was presented, which may be its old one); ``sid`` is the login session at the
    issuer.
    ``scopes`` are as the token names them and its roles stand for, not yet interpreted.
    ``dependencies`` and ``session_state`` are claims that runs of this principal receive.
    """

    issuer_alias: str
    issuer: str | None
    subject: str
    scopes: tuple[str, ...] = ()
    token_id: str = ""
    key_id: str | None = None
    issued_at: float | None = None
    expires_at: float | None = None
    session_id: str | None = None
    sid: str | None = None
    kind: PrincipalKind = PrincipalKind.USER
    claims: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)
    dependencies: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)
    session_state: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)
    actors: tuple[str, ...] = ()

    @property
    def owner(self) -> str:
        """The key under which this principal's rows are stored."""
        return owner_key(self.issuer_alias, self.subject)
