"""The keys of issuers: asked for as a server would ask for them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from licet.authn.discovery import DiscoveredLocation, KeyLocation
from licet.authn.fetching import Fetched, FetchError, fetch, shown
from licet.authn.issuer import TrustedIssuer
from licet.authn.jwk import KeySetError, ParsedKeySet, parse_key_set
from licet.authn.key_source import KeySource
from licet.authn.key_sources import key_location
from licet.authn.keys import ALGORITHMS, HMAC_ALGORITHMS
from licet.doctor.deployment import Deployment
from licet.doctor.finding import Finding, Kind, Level
from licet.doctor.issuers import place_of
from licet.errors import ConfigurationError

KEYS_UNREACHABLE = Kind("keys_unreachable", Level.PROBLEM)
KEYS_UNUSABLE = Kind("keys_unusable", Level.PROBLEM)
KEYS_STALE = Kind("keys_stale", Level.PROBLEM)
KEYS_ROLLED = Kind("keys_rolled", Level.PROBLEM)
ISSUER_CLOCK = Kind("issuer_clock", Level.PROBLEM)

# A date in a header is a whole second (RFC 9110 §5.6.7).
_DATE_SECONDS = 1.0


class KeysCheck:
    """Fetches what issuers publish, and looks whether tokens can be verified with it."""

    about = "the issuers' keys"
    kinds = (KEYS_UNREACHABLE, KEYS_UNUSABLE, KEYS_STALE, KEYS_ROLLED, ISSUER_CLOCK)

    async def look(self, deployment: Deployment) -> Sequence[Finding]:
        """Keys that are away, old, or of no use; and issuers whose clock differs."""
        trust = deployment.agent_os.trust
        issuers = () if trust is None else trust.issuers
        found = await asyncio.gather(
            *(_of(issuer, source, deployment) for issuer, source in issuers)
        )
        return [finding for findings in found for finding in findings]


@dataclass(frozen=True, slots=True)
class _Published:
    """A key set as it was answered, between two moments of our clock (epoch seconds)."""

    url: str
    fetched: Fetched
    parsed: ParsedKeySet
    asked_at: float
    answered_at: float


async def _of(
    issuer: TrustedIssuer, source: KeySource, deployment: Deployment
) -> Sequence[Finding]:
    location = key_location(issuer)
    if location is None:
        return await _of_given_keys(issuer, source, deployment)
    try:
        published = await _published(location, issuer, deployment)
    except FetchError as error:
        return [_unreachable(issuer, error)]
    except KeySetError as error:
        return [_unusable(issuer, str(error))]
    return list(_of_published(issuer, published))


async def _published(
    location: KeyLocation,
    issuer: TrustedIssuer,
    deployment: Deployment,
    *,
    allowed: Sequence[str] | None = None,
) -> _Published:
    """Ask for a key set, as a server does.

    Raises:
        FetchError: it did not come.
        KeySetError: it is none.
    """
    url = await location.url()
    asked_at = deployment.now()
    fetched = await fetch(url, limits=issuer.key_fetching)
    answered_at = deployment.now()
    parsed = parse_key_set(
        fetched.body or b"",
        allowed=issuer.allowed_algorithms if allowed is None else allowed,
        secrets=False,
        source=shown(url),
    )
    return _Published(shown(url), fetched, parsed, asked_at, answered_at)


def _of_published(issuer: TrustedIssuer, published: _Published) -> Iterator[Finding]:
    fetched, parsed = published.fetched, published.parsed
    if not parsed.key_set.keys:
        wrong = parsed.complaint or "the key set is empty"
        yield _unusable(issuer, f"{published.url}: {wrong}")
    limit_seconds = issuer.key_fetching.max_stale_seconds
    if fetched.age_seconds > limit_seconds:
        yield Finding(
            kind=KEYS_STALE,
            where=place_of(issuer),
            what=f"{published.url}: a copy that is {fetched.age_seconds:.0f} seconds old (Age); "
            f"at most {limit_seconds:g} are good (max_stale_seconds)",
            remedy="see to what keeps copies between this machine and the issuer: keys that the "
            "issuer has taken back may still be in it",
        )
    yield from _of_clock(issuer, published)


def _of_clock(issuer: TrustedIssuer, published: _Published) -> Iterator[Finding]:
    dated_at = published.fetched.dated_at
    if dated_at is None:
        return
    # Of what keeps copies, some leave the date as it was, and some write their own: it is either.
    least, most = dated_at, dated_at + published.fetched.age_seconds + _DATE_SECONDS
    skew_seconds = max(least - published.answered_at, published.asked_at - most, 0.0)
    if skew_seconds > issuer.leeway_seconds:
        ahead = "ahead of" if least > published.answered_at else "behind"
        yield Finding(
            kind=ISSUER_CLOCK,
            where=place_of(issuer),
            what=f"{published.url}: its clock is {skew_seconds:.0f} seconds {ahead} ours; "
            f"{issuer.leeway_seconds:g} are allowed for (leeway_seconds)",
            remedy="set both clocks by NTP: fresh tokens are refused, or expired ones are taken",
        )


async def _of_given_keys(
    issuer: TrustedIssuer, source: KeySource, deployment: Deployment
) -> Sequence[Finding]:
    """What the issuer publishes, where it does, beside the keys that the program has."""
    known = {key.identity for key in source.current().keys}
    if issuer.issuer is None or HMAC_ALGORITHMS.issuperset(issuer.allowed_algorithms):
        return ()
    with suppress(FetchError, KeySetError, ConfigurationError):
        location = DiscoveredLocation(issuer.issuer, address=None, limits=issuer.key_fetching)
        published = await _published(location, issuer, deployment, allowed=sorted(ALGORITHMS))
        current = {key.identity for key in published.parsed.key_set.keys}
        rolled = [_rolled(issuer, published.url)] if current and not current & known else []
        return [*rolled, *_of_clock(issuer, published)]
    # Not every issuer publishes keys.
    return ()


def _unreachable(issuer: TrustedIssuer, error: FetchError) -> Finding:
    return Finding(
        kind=KEYS_UNREACHABLE,
        where=place_of(issuer),
        what=str(error),
        remedy="see to the issuer, the way to it from this machine, and the address in jwks_url, "
        "issuer or discovery: a server that starts now answers every token with 503",
    )


def _unusable(issuer: TrustedIssuer, what: str) -> Finding:
    return Finding(
        kind=KEYS_UNUSABLE,
        where=place_of(issuer),
        what=what,
        remedy="have the issuer publish the key that it signs with, and set algorithm= or "
        "algorithms= to how: until then no token of it is taken",
    )


def _rolled(issuer: TrustedIssuer, url: str) -> Finding:
    return Finding(
        kind=KEYS_ROLLED,
        where=place_of(issuer),
        what=f"none of the keys in the program is among those that the issuer publishes ({url}): "
        "it signs with others by now",
        remedy="set discovery=True in the place of the keys; or give the present ones",
    )
