"""AgentSettings: what an agent is, prepared once and shared by all its runs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import msgspec
from pydantic import BaseModel

from licet.agent.output_schema import OutputSchema
from licet.db.base import Db
from licet.errors import ConfigurationError
from licet.models.base import Model, ToolSchema
from licet.tools.function import Function
from licet.tools.toolkit import Tool, collect, toolkit_instructions

_ID = re.compile(r"[A-Za-z0-9._~-]{1,128}")


@dataclass(frozen=True, eq=False, kw_only=True)
class AgentSettings:
    """An agent's settings, prepared once and shared by all its runs.

    Args:
        id: how clients and scopes name it; made from ``name`` when absent. Letters, digits and
            ``. _ ~ -`` only, so that a scope such as ``agents:<id>:run`` is never ambiguous.
        name: for people; the id when absent.
        model: the language model.
        db: where sessions and runs are kept. Served without one, the server's own is used.
        tools: functions, ``Function``s and ``Toolkit``s that the model may call.
        description: who the agent is, first in the system message.
        instructions: what it shall do; a list becomes one line each.
        system_message: replaces the whole system message.
        markdown: ask for Markdown.
        add_history_to_context: give the model the session's last runs.
        num_history_runs: how many of them.
        add_datetime_to_context: tell the model the time (UTC).
        session_state: the keys, with their first values, that a session's state has.
        dependencies: values for tools, through ``RunContext``; a callable is called for each run.
            A key whose value is None may be given by the caller of a run.
        output_schema: a pydantic model or a JSON schema that answers must fit.
        tool_call_limit: tool calls in one run; None: no limit.
        retries: how often a failed model call, or an answer that does not fit, is tried again.
        metadata: kept on every run.
        durable: all runs in a server outlive its process: another one goes on with them.

    Raises:
        ConfigurationError: a setting cannot be used; the message names it.
    """

    model: Model
    id: str = ""
    name: str = ""
    db: Db | None = None
    tools: Sequence[Tool] = ()
    description: str | None = None
    instructions: str | Sequence[str] | None = None
    system_message: str | None = None
    markdown: bool = False
    add_history_to_context: bool = False
    num_history_runs: int = 3
    add_datetime_to_context: bool = False
    session_state: Mapping[str, Any] = field(default_factory=dict)
    dependencies: Mapping[str, Any] = field(default_factory=dict)
    output_schema: type[BaseModel] | Mapping[str, Any] | None = None
    tool_call_limit: int | None = None
    retries: int = 0
    metadata: Mapping[str, Any] = field(default_factory=dict)
    durable: bool = False

    functions: Mapping[str, Function] = field(init=False, repr=False)
    schemas: tuple[ToolSchema, ...] = field(init=False, repr=False)
    toolkit_instructions: tuple[str, ...] = field(init=False, repr=False)
    output_schema_ready: OutputSchema | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        prepared = _prepared(self)
        for name, value in prepared.items():
            object.__setattr__(self, name, value)


def _prepared(agent: AgentSettings) -> dict[str, Any]:
    identifier = agent.id or re.sub(r"[^a-z0-9]+", "-", agent.name.lower()).strip("-")
    if not identifier:
        raise ConfigurationError("Agent needs an id or a name")
    if not _ID.fullmatch(identifier):
        raise ConfigurationError(
            f"Agent id {identifier!r}: 1 to 128 letters, digits and . _ ~ - are allowed"
        )
    if not isinstance(agent.model, Model):
        raise ConfigurationError(f"Agent {identifier!r}: model= needs a Model, e.g. OpenAIChat()")
    for name, least in (("num_history_runs", 0), ("retries", 0), ("tool_call_limit", 0)):
        value = getattr(agent, name)
        if value is not None and value < least:
            raise ConfigurationError(f"Agent {identifier!r}: {name} is at least {least}")
    try:
        msgspec.json.encode(dict(agent.session_state or {}))
    except (TypeError, ValueError, RecursionError):
        raise ConfigurationError(
            f"Agent {identifier!r}: session_state holds a value that JSON cannot: "
            "what is not stored with the session belongs into dependencies"
        ) from None
    functions = collect(agent.tools)
    schema = agent.output_schema
    return {
        "id": identifier,
        "name": agent.name or identifier,
        "tools": tuple(agent.tools or ()),
        "session_state": MappingProxyType(dict(agent.session_state or {})),
        "dependencies": MappingProxyType(dict(agent.dependencies or {})),
        "metadata": MappingProxyType(dict(agent.metadata or {})),
        "functions": MappingProxyType(dict(functions)),
        "schemas": tuple(function.schema for function in functions.values()),
        "toolkit_instructions": toolkit_instructions(agent.tools),
        "output_schema_ready": None if schema is None else OutputSchema.of(schema),
    }
