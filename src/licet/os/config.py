"""What can be set: how tokens are verified, and how the server behaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from licet.authn.issuer import IssuerSettings, TrustedIssuer
from licet.authn.key_fetching import KeyFetching
from licet.authn.token_source import TokenSource
from licet.errors import ConfigurationError
from licet.os.log_config import LOG_FORMATS, LogFormat
from licet.os.middleware.client_address import proxy_networks
from licet.runs.executor import Heartbeat
from licet.runs.run_queue import RunQueue

__all__ = [
    "AuthorizationConfig",
    "Heartbeat",
    "KeyFetching",
    "RunQueue",
    "Settings",
    "TokenSource",
    "TrustedIssuer",
]

DEFAULT_ADMIN_SCOPE = "agent_os:admin"
DEFAULT_AUTHORITY_TTL = timedelta(days=30)
DEFAULT_MAX_HEADER_BYTES = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class AuthorizationConfig(IssuerSettings):
    """How tokens are verified, and what opens which route.

    The settings of ``IssuerSettings`` are those of the first issuer, whose alias is ``default``.
    The environment adds to them: the key in ``JWT_VERIFICATION_KEY``, or in the file that
    ``JWT_VERIFICATION_KEY_FILE`` names; and ``JWT_JWKS_FILE``, ``JWT_JWKS_URL``, ``JWT_ISSUER`` and
    ``JWT_AUDIENCE`` stand for settings that are left out.

    Args:
        issuers: more auth servers, each with its own rules. Where there are several, each says
            which ``issuer`` it is.
        token_source: where tokens may stand: the header, a cookie, or both.
        cookie_name: of the cookie.
        token_header_key: of the header. In a header of another name than ``Authorization`` the
            token may stand alone, without ``Bearer``.
        admin_scope: the scope that may everything.
        scope_mappings: opens routes of your own: ``{"GET /reports/{id}": ["reports:{id}:read"]}``.
            An empty list asks for any verified caller. Bound to routes when the app starts.
        public_paths: templates of your own routes that need no token.
        excluded_route_paths: the same, under its other name.
        run_authority: ``snapshot``: what a token started goes on when the token expires; ``token``:
            runs and open streams end with it. Revocation ends them in either case.
        self_approval: whoever began a run may decide about its approvals, if they may decide any.
        authority_ttl: for how long a durable run may go on under the snapshot that it was started
            with.

    Raises:
        ConfigurationError: ``authority_ttl`` is not above zero.
    """

    issuers: Sequence[TrustedIssuer] = ()
    token_source: TokenSource = TokenSource.HEADER
    cookie_name: str = "access_token"
    token_header_key: str = "Authorization"  # noqa: S105 - the name of a header
    admin_scope: str = DEFAULT_ADMIN_SCOPE
    scope_mappings: Mapping[str, Sequence[str]] = field(default_factory=dict)
    public_paths: Sequence[str] = ()
    excluded_route_paths: Sequence[str] = ()
    run_authority: Literal["snapshot", "token"] = "snapshot"
    self_approval: bool = False
    authority_ttl: timedelta = DEFAULT_AUTHORITY_TTL

    def __post_init__(self) -> None:
        """Refuse an authority that nobody would ever have."""
        if self.authority_ttl <= timedelta():
            raise ConfigurationError("authority_ttl is above zero")

    @property
    def outlives_seconds(self) -> float:
        """For how long what a token has started may go on, whatever becomes of the token."""
        return 0.0 if self.run_authority == "token" else self.authority_ttl.total_seconds()

    @property
    def open_paths(self) -> tuple[str, ...]:
        """The templates that need no token, under whichever name they were given."""
        return tuple(dict.fromkeys((*self.public_paths, *self.excluded_route_paths)))


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How the server behaves.

    Args:
        max_body_bytes: what a request may bring.
        max_header_bytes: what may stand before its body: its first line and its headers. Where
            ``AgentOS.serve`` or ``licet serve`` serves; more is answered 431.
        ping_seconds: how long a stream is silent before it sends a comment.
        shutdown_grace_seconds: when the server stops, how long open responses may end, and after
            them runs whose clients have left; what takes longer is cancelled, and says so.
        events_kept_seconds: how long the events of a run can be had again after it has ended, as
            they were told and where it worked. Afterwards, and elsewhere, it is told from what is
            stored of it.
        docs: serve ``/docs``, ``/redoc`` and ``/openapi.json``, to everybody.
        cached_tokens: how many verified tokens are remembered, never past their expiry.
        revocations_max_age_seconds: how old what is known of revocations may be; when they cannot
            be read for longer, requests get 503.
        max_failed_authentications: how many tokens that do not verify a client may present within
            60 seconds; more get 429. Good tokens are never affected.
        run_queue: how many durable runs may work at once, and how many may wait.
        heartbeat: how soon another process takes over from one that died.
        max_schedules: how many schedules each owner may have. An enabled one that has times costs
            each process a thread.
        trusted_proxies: addresses and networks of the proxies that may say, in
            ``X-Forwarded-For`` and ``X-Forwarded-Proto``, for whom they speak; none by default.
        log_format: lines of the log for people (``text``), or for programs (``json``), where
            ``AgentOS.serve`` or ``licet serve`` serves.

    Raises:
        ConfigurationError: a trusted proxy is neither an address nor a network, or is everybody;
            or there is no such ``log_format``.
    """

    max_body_bytes: int = 10 * 1024 * 1024
    max_header_bytes: int = DEFAULT_MAX_HEADER_BYTES
    ping_seconds: float = 15.0
    shutdown_grace_seconds: float = 4.0
    events_kept_seconds: float = 600.0
    docs: bool = True
    cached_tokens: int = 4096
    revocations_max_age_seconds: float = 5.0
    max_failed_authentications: int = 100
    run_queue: RunQueue = field(default_factory=RunQueue)
    heartbeat: Heartbeat = field(default_factory=Heartbeat)
    max_schedules: int = 100
    trusted_proxies: Sequence[str] = ()
    log_format: LogFormat = "text"

    def __post_init__(self) -> None:
        """Refuse what cannot be trusted as early as it is written."""
        proxy_networks(self.trusted_proxies)
        if self.log_format not in LOG_FORMATS:
            raise ConfigurationError(
                f"log_format is {self.log_format!r}; it is one of {', '.join(LOG_FORMATS)}"
            )
