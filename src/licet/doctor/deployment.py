"""Deployment: a program's AgentOS, and how it is going to be served."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from licet.authn.fetching import is_loopback
from licet.errors import ConfigurationError
from licet.os.agent_os import AgentOS
from licet.os.middleware.jwt import JWTMiddleware


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """What the doctor looks at.

    Args:
        agent_os: what is served.
        host: the address that it listens on.
        workers: how many processes each machine has.
        replicas: how many machines.
        now: gives epoch seconds.

    Raises:
        ConfigurationError: who may what is decided by a part that is made when the app starts.
    """

    agent_os: AgentOS
    host: str = "127.0.0.1"
    workers: int = 1
    replicas: int = 1
    now: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        middleware = self.agent_os.get_app().user_middleware
        if any(added.cls is JWTMiddleware for added in middleware):
            raise ConfigurationError(
                "this app is guarded by JWTMiddleware, whose settings are read when it starts: "
                "they cannot be looked at. Give them to AgentOS(authorization=True, "
                "authorization_config=...)"
            )

    @property
    def processes(self) -> int:
        """How many there are together."""
        return self.workers * self.replicas

    @property
    def is_exposed(self) -> bool:
        """Whether others than this machine reach it: directly, or through a trusted proxy."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return not is_loopback(f"//{host}") or bool(self.agent_os.settings.trusted_proxies)
