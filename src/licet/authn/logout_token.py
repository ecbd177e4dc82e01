"""Logout tokens: what an issuer sends when somebody logs out.

Source: OpenID Connect Back-Channel Logout 1.0, to which the sections below belong.

They are signed like access tokens and are none: their audience is who we are at the issuer, and
they say what has ended.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from licet.authn.bearer import MAX_TOKEN_BYTES
from licet.authn.claims import audiences_in, check_times, optional_identifier
from licet.authn.issuer import TrustedIssuer
from licet.authn.jws import decode_segment, json_object, parse_token
from licet.authn.jwt_tokens import with_fresh_keys
from licet.authn.key_source import KeySource
from licet.authn.refusal import TokenRefusedError
from licet.authn.signature import check_signature
from licet.authn.trust_state import TrustState
from licet.db.trust_records import RevocationKind

EVENT = "http://schemas.openid.net/event/backchannel-logout"
_TYPES = frozenset(("jwt", "logout+jwt", "application/logout+jwt"))


@dataclass(frozen=True, slots=True, kw_only=True)
class LogoutToken:
    """What a logout token says. At least one of ``subject`` and ``sid`` is there.

    ``issued_at`` is when the logout was, by the issuer's clock; all times are epoch seconds.
    """

    issuer_alias: str
    token_id: str
    subject: str | None
    sid: str | None
    issued_at: float
    expires_at: float


class LogoutTokenVerifier:
    """Verifies the logout tokens of the issuers at which we are known.

    Args:
        issuers: the auth servers, each with the source of its keys.
        state: which keys were revoked; None: nobody looks.
        now: gives epoch seconds.
    """

    def __init__(
        self,
        issuers: Sequence[tuple[TrustedIssuer, KeySource]],
        *,
        state: TrustState | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._by_name = {
            issuer.issuer: (issuer, source)
            for issuer, source in issuers
            if issuer.oidc_client_id is not None
        }
        self._state = state
        self._now = now

    async def verify(self, token: bytes) -> LogoutToken:
        """What the token says (§2.6).

        Raises:
            TokenRefusedError: it does not verify; the message says why.
        """
        return await with_fresh_keys(lambda: self._verified(token))

    def _verified(self, token: bytes) -> LogoutToken:
        if len(token) > MAX_TOKEN_BYTES:
            raise TokenRefusedError(f"the token is larger than {MAX_TOKEN_BYTES} bytes")
        signed = parse_token(token, types=_TYPES)
        claims = json_object(decode_segment(signed.payload_segment, "payload"), "payload")
        named = claims.get("iss")
        if not isinstance(named, str) or named not in self._by_name:
            raise TokenRefusedError("the token is from an issuer that is not trusted (iss)")
        issuer, source = self._by_name[named]
        key = check_signature(signed, issuer=issuer, key_set=source.current(), source=source)
        now = self._now()
        if self._state is not None and self._state.revocations.holds(
            RevocationKind.KEY, issuer.alias, key.key_id, now=now
        ):
            # Whoever has stolen the key could log everybody out.
            raise TokenRefusedError("the key that signed the token was revoked")
        return _logout(claims, issuer, now=now)


def _logout(claims: Mapping[str, Any], issuer: TrustedIssuer, *, now: float) -> LogoutToken:
    expires_at, issued_at = check_times(claims, issuer, now)
    if issued_at is None:
        raise TokenRefusedError("the claim 'iat' is missing")
    # Not the audience of access tokens: that one may be known to many.
    if issuer.oidc_client_id not in (audiences_in(claims, "aud") or ()):
        raise TokenRefusedError("the token is for another client (aud)")
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(EVENT), dict):
        raise TokenRefusedError("the claim 'events' does not say that somebody has logged out")
    if "nonce" in claims:
        raise TokenRefusedError("a logout token has no nonce")
    token_id = optional_identifier(claims, "jti")
    if token_id is None:
        raise TokenRefusedError("the claim 'jti' is missing")
    # The subject by the name that access tokens have it under, where the logout token has it too.
    subject = optional_identifier(claims, issuer.user_id_claim)
    sid = optional_identifier(claims, "sid")
    if subject is None and sid is None:
        raise TokenRefusedError(
            f"the token names neither a subject ({issuer.user_id_claim}) nor a session (sid)"
        )
    return LogoutToken(
        issuer_alias=issuer.alias,
        token_id=token_id,
        subject=subject,
        sid=sid,
        issued_at=issued_at,
        expires_at=expires_at + issuer.leeway_seconds,
    )
