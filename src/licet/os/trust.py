"""From settings to a policy: whose tokens are taken, and what their scopes mean here."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping

from licet.authn.bearer import BearerAuthenticator
from licet.authn.cache import CachingVerifier
from licet.authn.issuer import DEFAULT_SCOPES_CLAIMS, TrustedIssuer
from licet.authn.jwt import JwtVerifier
from licet.authz.authorizer import ScopeAuthorizer, UnionAuthorizer
from licet.authz.families import DEFAULT_FAMILIES, Families
from licet.errors import ConfigurationError
from licet.os.config import AuthorizationConfig
from licet.os.mappings import parse_mappings
from licet.os.policy import Policy

logger = logging.getLogger(__name__)

KEY_VARIABLE = "JWT_VERIFICATION_KEY"


def build_policy(
    config: AuthorizationConfig,
    *,
    os_id: str,
    user_isolation: bool,
    cached_tokens: int,
    environ: Mapping[str, str] = os.environ,
) -> Policy:
    """The policy that a configuration asks for.

    Raises:
        ConfigurationError: there is no key, or a rule cannot hold.
    """
    if not config.admin_scope:
        raise ConfigurationError("admin_scope is the scope of the administrator; it is not empty")
    issuer = _issuer(config, os_id=os_id, environ=environ)
    verifier = CachingVerifier(JwtVerifier(issuer), max_tokens=cached_tokens)
    return Policy(
        authenticator=BearerAuthenticator(verifier),
        authorizer=UnionAuthorizer([ScopeAuthorizer()]),
        families=_families(config),
        admin_scope=config.admin_scope,
        user_isolation=user_isolation,
    )


def _issuer(
    config: AuthorizationConfig, *, os_id: str, environ: Mapping[str, str]
) -> TrustedIssuer:
    # A text is a sequence of its letters: each of them would be taken for a key.
    if isinstance(config.verification_keys, str):
        raise ConfigurationError("verification_keys is a list, not one text")
    keys = list(config.verification_keys)
    added = environ.get(KEY_VARIABLE, "").strip()
    if added and added not in [str(key).strip() for key in keys]:
        logger.info("the verification key in %s is trusted too", KEY_VARIABLE)
        keys.append(added)
    if not keys:
        raise ConfigurationError(
            "authorization=True needs a key: set AuthorizationConfig(verification_keys=[...]) "
            f"or the environment variable {KEY_VARIABLE}"
        )
    audience = config.audience if config.audience is not None else os_id
    return TrustedIssuer(
        verification_keys=keys,
        algorithms=(config.algorithm,) if config.algorithms is None else config.algorithms,
        issuer=config.issuer,
        audiences=(audience,) if isinstance(audience, str) else audience,
        verify_audience=config.verify_audience,
        leeway_seconds=config.leeway_seconds,
        required_claims=config.required_claims,
        subject_claim=config.user_id_claim,
        session_id_claim=config.session_id_claim,
        scopes_claims=DEFAULT_SCOPES_CLAIMS
        if config.scopes_claim is None
        else (config.scopes_claim,),
    )


def _families(config: AuthorizationConfig) -> Families:
    """The known families, and those that the operator's own routes ask for."""
    families = DEFAULT_FAMILIES
    for rule in parse_mappings(config.scope_mappings, config.public_paths).values():
        for permission in rule.permissions:
            families = families.with_action(permission.resource, permission.action)
    return families
