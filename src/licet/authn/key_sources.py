"""From an issuer's settings to the source of its keys."""

from __future__ import annotations

from licet.authn.discovery import DiscoveredLocation, FixedLocation, KeyLocation
from licet.authn.issuer import TrustedIssuer
from licet.authn.jwks_file import JwksFile
from licet.authn.key_source import KeySource, MergedKeys, StaticKeys
from licet.authn.remote_keys import RemoteKeys


def key_source(issuer: TrustedIssuer) -> KeySource:
    """The keys of an issuer, from everywhere it is said to have some.

    Raises:
        ConfigurationError: a file cannot be used, or an address must not be.
    """
    sources: list[KeySource] = []
    if issuer.verification_keys:
        sources.append(StaticKeys(issuer.keys))
    if issuer.jwks_file is not None:
        sources.append(JwksFile(issuer.jwks_file, allowed=issuer.allowed_algorithms))
    location = key_location(issuer)
    if location is not None:
        sources.append(
            RemoteKeys(location, allowed=issuer.allowed_algorithms, limits=issuer.key_fetching)
        )
    return sources[0] if len(sources) == 1 else MergedKeys(sources)


def key_location(issuer: TrustedIssuer) -> KeyLocation | None:
    """Where an issuer publishes its keys; None: they are not asked for anywhere.

    Raises:
        ConfigurationError: they must not come from there.
    """
    if issuer.jwks_url is not None:
        return FixedLocation(issuer.jwks_url)
    if issuer.discovery and issuer.issuer is not None:
        return DiscoveredLocation(
            issuer.issuer,
            address=issuer.discovery if isinstance(issuer.discovery, str) else None,
            limits=issuer.key_fetching,
        )
    return None
