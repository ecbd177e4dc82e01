"""RunContext: what a tool may know of the run that it works for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from licet.authn.principal import Principal
from licet.cancelled import Cancelled


@dataclass(slots=True, kw_only=True)
class RunContext:
    """Reaches any tool that has a parameter of this type; no model sees it.

    ``session_state`` is the session's own dictionary: what a tool changes in it is stored when
    the run ends. ``idempotency_key`` names the tool call, and stays the same when a durable run
    repeats it after a crash: give it to whatever must do a thing once. ``principal`` is None when
    nobody was authenticated: in a script, or on the open loopback server. ``request_id`` is that of
    the HTTP request that started the run, if any did. ``cancelled`` tells, at any time, whether the
    run was stopped.
    """

    run_id: str
    session_id: str
    agent_id: str
    user_id: str | None = None
    request_id: str | None = None
    idempotency_key: str = ""
    principal: Principal | None = None
    session_state: dict[str, Any] = field(default_factory=dict)
    dependencies: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    cancelled: Cancelled = field(default_factory=Cancelled, repr=False, compare=False)
