"""The server: everything that knows of HTTP."""

from licet.audit.config import AuditConfig
from licet.authn.issuer import TrustedIssuer
from licet.authn.key_fetching import KeyFetching
from licet.authn.token_source import TokenSource
from licet.os.agent_os import AgentOS
from licet.os.config import AuthorizationConfig, Heartbeat, RunQueue, Settings
from licet.os.own_routes import current_principal, replace_dependency
from licet.os.rules import public, requires

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
