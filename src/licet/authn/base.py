"""Authentication in three answers: authenticated, no credentials, bad credentials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from licet.authn.principal import Principal


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request presented. ``authorization``: the values of its Authorization headers."""

    authorization: tuple[bytes, ...] = ()

    def __repr__(self) -> str:
        return f"Credentials(<{len(self.authorization)} not shown>)"


@dataclass(frozen=True, slots=True)
class Authenticated:
    """The credentials verify: this is who asks."""

    principal: Principal


@dataclass(frozen=True, slots=True)
class NoCredentials:
    """Nothing was presented that this authenticator knows."""


@dataclass(frozen=True, slots=True)
class BadCredentials:
    """Something was presented and does not verify. ``reason`` holds nothing of the token.

    ``code`` is for programs: ``authorization_header``, ``token_expired``, ``token_signature``, or
    ``token_refused`` for all else.
    """

    reason: str
    code: str = "token_refused"


Authentication = Authenticated | NoCredentials | BadCredentials
"""One of three; there is no fourth, and no None."""


class Authenticator(Protocol):
    """Answers who presents credentials. Immutable, or safe to share between requests."""

    def authenticate(self, credentials: Credentials) -> Authentication:
        """Verify. Never raises because of what was presented."""


class UnionAuthenticator:
    """Asks its members in order; the first that knows the credentials answers."""

    def __init__(self, members: Sequence[Authenticator]) -> None:
        self._members = tuple(members)

    def authenticate(self, credentials: Credentials) -> Authentication:
        """The answer of the first member that has one; no credentials if none has."""
        for member in self._members:
            answer = member.authenticate(credentials)
            if not isinstance(answer, NoCredentials):
                return answer
        return NoCredentials()
