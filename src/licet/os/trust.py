"""The composition of authentication: whose credentials are taken, and in which order."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from licet.authn.base import Authenticator, Credentials, UnionAuthenticator
from licet.authn.bearer import BearerAuthenticator
from licet.authn.cache import CachingVerifier
from licet.authn.cookie import CookieAuthenticator, OneCredential
from licet.authn.failure_limit import FailureLimit
from licet.authn.issuer import TrustedIssuer
from licet.authn.jwt import IssuersVerifier, JwtVerifier, TokenVerifier
from licet.authn.jwt_tokens import JwtTokens
from licet.authn.key_source import KeySource
from licet.authn.key_sources import key_source
from licet.authn.limited import LimitedAuthenticator
from licet.authn.logout_token import LogoutTokenVerifier
from licet.authn.revoked import RevocationAuthenticator
from licet.authn.service_accounts import is_service_token
from licet.authn.service_tokens import ServiceTokenAuthenticator
from licet.authn.token_source import TokenSource
from licet.authn.trust_state import TrustState
from licet.db.base import Db
from licet.os.authority import Authority
from licet.os.config import AuthorizationConfig, Settings
from licet.os.environment import Note, notes_on_environment
from licet.os.issuers import trusted_issuers
from licet.os.trust_watch import TrustWatch

VerifierOf = Callable[[TrustedIssuer], TokenVerifier]
logger = logging.getLogger(__name__)

_HEADER = "authorization"


@dataclass(frozen=True, eq=False, kw_only=True)
class Trust:
    """Whom a server trusts, as it is now.

    Attributes:
        authenticator: answers who presents credentials.
        authority: says whether what somebody started may go on.
        watch: keeps revocations and service accounts up to date.
        issuers: the auth servers, each with the source of its keys.
        logout: verifies logout tokens; None: no issuer says who we are there.
        header: the header that carries tokens.
        cookies: whether a cookie may carry one.
        only_cookie: the name of the cookie, where nothing else carries tokens of issuers.
        outlives_seconds: for how long what a token has started may go on without it.
    """

    authenticator: Authenticator
    authority: Authority
    watch: TrustWatch
    issuers: Sequence[tuple[TrustedIssuer, KeySource]]
    logout: LogoutTokenVerifier | None
    header: str
    cookies: bool
    only_cookie: str | None
    outlives_seconds: float
    _service_tokens: ServiceTokenAuthenticator = field(repr=False)
    _notes: Sequence[Note] = ()

    def looked_at(self, token: bytes) -> Credentials:
        """A token as a request would present it here; neither its use nor a failure is noted."""
        if self.only_cookie is not None and not is_service_token(token):
            cookie = self.only_cookie.encode() + b"=" + token
            return Credentials(cookies=(cookie,), looked_at=True)
        return Credentials(authorization=(b"Bearer " + token,), looked_at=True)

    async def start(self) -> None:
        """Read what has to be known before the first request, and keep it current.

        Tells what the environment has added: here, since a server writes its log from now on only.

        Raises:
            StorageError: the revocations cannot be read.
        """
        for note in self._notes:
            logger.log(note.level, note.text)
        await self.watch.start()
        await asyncio.gather(*(source.start() for _, source in self.issuers))

    async def close(self) -> None:
        """Stop keeping it current."""
        for _, source in self.issuers:
            await source.close()
        await self._service_tokens.close()
        await self.watch.close()


def build_trust(
    config: AuthorizationConfig,
    *,
    os_id: str,
    db: Db,
    settings: Settings,
    on_tick: Callable[[], None],
    verifier: VerifierOf | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Trust:
    """What a configuration asks for.

    ``on_tick`` is called whenever revocations may have changed; ``verifier`` makes of an issuer
    what verifies its tokens, in place of what looks at signatures.

    Raises:
        ConfigurationError: there is no key, or a rule cannot hold.
    """
    issuers = trusted_issuers(config, os_id=os_id, environ=environ)
    sources = tuple((issuer, key_source(issuer)) for issuer in issuers)
    state = TrustState(max_age_seconds=settings.revocations_max_age_seconds)
    watch = TrustWatch(db, state, on_tick=on_tick)
    service_tokens = ServiceTokenAuthenticator(
        state, db.trust(), limit=FailureLimit(), bare=_bare(config)
    )
    tokens = _verifier(sources) if verifier is None else verifier(issuers[0])
    remembering = CachingVerifier(tokens, max_tokens=settings.cached_tokens)
    members = _members(config, service_tokens, JwtTokens(remembering))
    return Trust(
        authenticator=LimitedAuthenticator(
            RevocationAuthenticator(UnionAuthenticator(members), state, refresh=watch.refresh),
            limit=FailureLimit(max_failures=settings.max_failed_authentications),
        ),
        authority=Authority(
            state,
            ends_with_token=config.run_authority == "token",
            leeways_seconds={issuer.alias: issuer.leeway_seconds for issuer in issuers},
        ),
        watch=watch,
        issuers=sources,
        logout=(
            LogoutTokenVerifier(sources, state=state)
            if any(issuer.oidc_client_id is not None for issuer in issuers)
            else None
        ),
        header=config.token_header_key,
        cookies=config.token_source is not TokenSource.HEADER,
        only_cookie=config.cookie_name if config.token_source is TokenSource.COOKIE else None,
        outlives_seconds=config.outlives_seconds,
        _service_tokens=service_tokens,
        _notes=notes_on_environment(config, environ),
    )


def _verifier(sources: Sequence[tuple[TrustedIssuer, KeySource]]) -> TokenVerifier:
    verifiers = [JwtVerifier(issuer, source) for issuer, source in sources]
    return verifiers[0] if len(verifiers) == 1 else IssuersVerifier(verifiers)


def _members(
    config: AuthorizationConfig, service_tokens: Authenticator, tokens: JwtTokens
) -> Sequence[Authenticator]:
    """Who is asked, in this order; the first that knows the credentials answers."""
    header = BearerAuthenticator(tokens, bare=_bare(config))
    if config.token_source is TokenSource.HEADER:
        return (service_tokens, header)
    cookie = CookieAuthenticator(tokens, name=config.cookie_name)
    only_one = OneCredential(cookie_name=config.cookie_name)
    if config.token_source is TokenSource.COOKIE:
        return (only_one, service_tokens, cookie)
    return (only_one, service_tokens, header, cookie)


def _bare(config: AuthorizationConfig) -> bool:
    return config.token_header_key.lower() != _HEADER
