"""Authentication: authenticated, no credentials, bad credentials; or it cannot be told now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from licet.authn.principal import Principal


class Credentials(msgspec.Struct, frozen=True):
    """What a request presented.

    Attributes:
        authorization: the values of the header that carries tokens.
        cookies: the values of its Cookie headers.
        forgeable: a page of another site may have made the browser send this, with the cookies
            that it keeps for us: no proof of the contrary came along.
        client: the address that the request came from, if there is one.
        looked_at: nobody uses them: neither a failure nor a use is noted.
    """

    authorization: tuple[bytes, ...] = ()
    cookies: tuple[bytes, ...] = ()
    forgeable: bool = False
    client: str | None = None
    looked_at: bool = False

    def __repr__(self) -> str:
        return f"Credentials(<{len(self.authorization) + len(self.cookies)} not shown>)"


class Authenticated(msgspec.Struct, frozen=True):
    """The credentials verify: this is who asks."""

    principal: Principal


@dataclass(frozen=True, slots=True)
class NoCredentials:
    """Nothing was presented that this authenticator knows."""


@dataclass(frozen=True, slots=True)
class BadCredentials:
    """Something was presented and does not verify. ``reason`` holds nothing of the token.

    ``code`` is for programs: ``authorization_header``, ``several_credentials``, ``cross_site``,
    ``token_expired``, ``token_signature``, ``token_key``, ``token_revoked``, ``too_many_failures``,
    or ``token_refused`` for all else. ``principal`` is whom they spoke for, where that was verified
    all the same: of what was revoked.
    """

    reason: str
    code: str = "token_refused"
    principal: Principal | None = None


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Nobody can say at present: keys or revocations cannot be read. It opens nothing."""

    reason: str


Authentication = Authenticated | NoCredentials | BadCredentials | Unavailable
"""One of these; never a None."""


class Authenticator(Protocol):
    """Answers who presents credentials. For one event loop."""

    async def authenticate(self, credentials: Credentials) -> Authentication:
        """Verify. Never raises because of what was presented."""


class UnionAuthenticator:
    """Asks its members in order; the first that knows the credentials answers."""

    def __init__(self, members: Sequence[Authenticator]) -> None:
        self._members = tuple(members)

    async def authenticate(self, credentials: Credentials) -> Authentication:
        """The answer of the first member that has one; no credentials if none has."""
        for member in self._members:
            answer = await member.authenticate(credentials)
            if not isinstance(answer, NoCredentials):
                return answer
        return NoCredentials()
