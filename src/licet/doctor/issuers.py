"""The rules by which tokens are taken."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from licet.authn.issuer import TrustedIssuer
from licet.doctor.deployment import Deployment
from licet.doctor.finding import Finding, Kind, Level

AUDIENCE_OPTIONAL = Kind("audience_optional", Level.WARNING)
ISSUER_UNNAMED = Kind("issuer_unnamed", Level.WARNING)
CERTIFICATE_EXPIRED = Kind("certificate_expired", Level.WARNING)


class IssuersCheck:
    """Looks at what the program says of each issuer; asks none of them."""

    about = "whose tokens are taken"
    kinds = (AUDIENCE_OPTIONAL, ISSUER_UNNAMED, CERTIFICATE_EXPIRED)

    async def look(self, deployment: Deployment) -> Sequence[Finding]:
        """Rules that let in more tokens than are meant for this server."""
        trust = deployment.agent_os.trust
        issuers = [] if trust is None else [issuer for issuer, _ in trust.issuers]
        return [finding for issuer in issuers for finding in _of(issuer, deployment.now())]


def place_of(issuer: TrustedIssuer) -> str:
    """Which issuer it is, for people."""
    return f"issuer {issuer.alias!r}"


def _of(issuer: TrustedIssuer, now: float) -> Iterator[Finding]:
    if not issuer.verify_audience:
        yield Finding(
            kind=AUDIENCE_OPTIONAL,
            where=place_of(issuer),
            what="tokens that name no audience are taken: those, too, that the issuer makes for "
            "other services",
            remedy=f"have it put the audience {issuer.audiences[0]!r} into tokens for this server, "
            "and set verify_audience=True",
        )
    if issuer.jwks_url is not None and issuer.issuer is None:
        yield Finding(
            kind=ISSUER_UNNAMED,
            where=place_of(issuer),
            what="tokens of everybody are taken who signs with a key of that address, whatever "
            "their 'iss' says; some providers sign for all of their customers with the same keys",
            remedy="set issuer= to what your tokens have as 'iss'",
        )
    for place, key in enumerate(issuer.verification_keys):
        expired_at = _expiry(key)
        if expired_at is not None and expired_at.timestamp() < now:
            yield Finding(
                kind=CERTIFICATE_EXPIRED,
                where=f"{place_of(issuer)}, verification_keys[{place}]",
                what=f"the certificate expired on {expired_at:%Y-%m-%d}; its key is taken all the "
                "same, but the issuer may sign with another one by now",
                remedy="give the key or the certificate that it signs with now",
            )


def _expiry(key: str | bytes) -> datetime | None:
    """When a certificate expires; None: it is none."""
    from cryptography.x509 import load_pem_x509_certificate

    pem = key.encode() if isinstance(key, str) else key
    if b"BEGIN CERTIFICATE" not in pem:
        return None
    return load_pem_x509_certificate(pem).not_valid_after_utc.astimezone(UTC)
