"""What can be set: how tokens are verified, and how the server behaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

DEFAULT_ADMIN_SCOPE = "agent_os:admin"


@dataclass(frozen=True, kw_only=True)
class AuthorizationConfig:
    """How tokens are verified, and what opens which route.

    Args:
        verification_keys: PEM public keys, or secrets for HS algorithms. The key in the environment
            variable ``JWT_VERIFICATION_KEY`` is added to them.
        algorithm: the one algorithm that tokens may use.
        algorithms: several of them; takes the place of ``algorithm``.
        issuer: what ``iss`` must be; None: not looked at.
        audience: what ``aud`` may name; the server's id when absent.
        verify_audience: refuse tokens without ``aud``. One that is present is always checked.
        leeway_seconds: how far clocks may differ.
        required_claims: claims that must be present besides ``exp`` and ``sub``.
        user_id_claim: whose value is the subject.
        session_id_claim: whose value is the session of requests that name none.
        scopes_claim: where scopes are, a dotted path too; None: the first present of ``scopes``,
            ``scope`` and ``scp``.
        admin_scope: the scope that may everything.
        scope_mappings: opens routes of your own: ``{"GET /reports/{id}": ["reports:{id}:read"]}``.
            An empty list asks for any verified caller. Bound to routes when the app starts.
        public_paths: templates of your own routes that need no token.
    """

    verification_keys: Sequence[str] = ()
    algorithm: str = "RS256"
    algorithms: Sequence[str] | None = None
    issuer: str | None = None
    audience: str | Sequence[str] | None = None
    verify_audience: bool = False
    leeway_seconds: float = 10.0
    required_claims: Sequence[str] = ()
    user_id_claim: str = "sub"
    session_id_claim: str = "session_id"
    scopes_claim: str | None = None
    admin_scope: str = DEFAULT_ADMIN_SCOPE
    scope_mappings: Mapping[str, Sequence[str]] = field(default_factory=dict)
    public_paths: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How the server behaves.

    Args:
        max_body_bytes: what a request may bring.
        ping_seconds: how long a stream is silent before it sends a comment.
        shutdown_grace_seconds: when the server stops, how long open responses may end, and after
            them runs whose clients have left; what takes longer is cancelled, and says so.
        docs: serve ``/docs``, ``/redoc`` and ``/openapi.json``, to everybody.
        cached_tokens: how many verified tokens are remembered, never past their expiry.
    """

    max_body_bytes: int = 10 * 1024 * 1024
    ping_seconds: float = 15.0
    shutdown_grace_seconds: float = 4.0
    docs: bool = True
    cached_tokens: int = 4096
