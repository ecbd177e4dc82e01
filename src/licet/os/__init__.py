"""The server: everything that knows of HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from licet.audit.config import AuditConfig
from licet.authn.issuer import TrustedIssuer
from licet.authn.key_fetching import KeyFetching
from licet.authn.token_source import TokenSource
from licet.os.agent_os import AgentOS
from licet.os.config import AuthorizationConfig, Heartbeat, RunQueue, Settings
from licet.os.rules import public, requires

if TYPE_CHECKING:
    from licet.os.own_routes import current_principal, replace_dependency

__all__ = [
    "AgentOS",
    "AuditConfig",
    "AuthorizationConfig",
    "Heartbeat",
    "KeyFetching",
    "RunQueue",
    "Settings",
    "TokenSource",
    "TrustedIssuer",
    "current_principal",
    "public",
    "replace_dependency",
    "requires",
]


def __getattr__(name: str) -> Any:
    # They need FastAPI, which takes long to import: whoever asks for them uses it.
    if name in ("current_principal", "replace_dependency"):
        from licet.os import own_routes

        return getattr(own_routes, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
