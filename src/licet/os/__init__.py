"""The server: everything that knows of HTTP."""

from licet.os.agent_os import AgentOS
from licet.os.config import AuthorizationConfig, Settings

__all__ = ["AgentOS", "AuthorizationConfig", "Settings"]
