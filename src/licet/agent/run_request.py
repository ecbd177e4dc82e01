"""RunRequest: what is asked of an agent, by whom, and where it belongs."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from licet.agent.output import RunInput, RunOutput
from licet.agent.output_schema import OutputSchema
from licet.agent.settings import AgentSettings
from licet.authn.principal import Principal
from licet.db.base import NOBODY
from licet.db.records import RunStatus
from licet.request_id import REQUEST_ID


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What is asked of an agent. ``owner`` is whose session it is; "" is nobody's.

    ``request_id`` is that of the HTTP request in which this is made, if it is made in one;
    ``trace_context`` is what a durable run brings along for whoever observes it.
    """

    input: RunInput
    run_id: str
    session_id: str
    owner: str = NOBODY
    user_id: str | None = None
    request_id: str | None = field(default_factory=REQUEST_ID.get)
    principal: Principal | None = None
    session_state: Mapping[str, Any] | None = None
    dependencies: Mapping[str, Any] | None = None
    metadata: Mapping[str, Any] | None = None
    output_schema: OutputSchema | None = None
    trace_context: Mapping[str, str] | None = None


def asked(agent: AgentSettings, request: RunRequest, *, began: float) -> RunOutput:
    """What a run is before anything of it is done. ``began`` is epoch seconds."""
    return RunOutput(
        run_id=request.run_id,
        session_id=request.session_id,
        agent_id=agent.id,
        agent_name=agent.name,
        user_id=request.user_id,
        request_id=request.request_id,
        status=RunStatus.RUNNING,
        created_at=int(began),
        input=request.input,
        model=agent.model.id,
        model_provider=agent.model.provider,
        metadata={**agent.metadata, **(request.metadata or {})} or None,
        session_state={},
    )


def new_id() -> str:
    """A fresh id for a run or a session."""
    return str(uuid.uuid4())
