"""The server: everything that knows of HTTP."""

from licet.authn.issuer import TrustedIssuer
from licet.authn.key_fetching import KeyFetching
from licet.authn.token_source import TokenSource
from licet.os.agent_os import AgentOS
from licet.os.config import AuthorizationConfig, Settings

__all__ = [
    "AgentOS",
    "AuthorizationConfig",
    "KeyFetching",
    "Settings",
    "TokenSource",
    "TrustedIssuer",
]
