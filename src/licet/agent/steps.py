"""Steps: the parts of a run's work that cost money or change the world.

A foreground run simply does them. A durable run keeps what each came to, so that whoever goes on
with it after a crash does none of them again that had ended (``licet.runs``).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec

from licet.agent.output import ToolExecution
from licet.errors import LicetError
from licet.models.base import ModelResponse


class ModelTurn(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a model call came to. ``first_token_seconds``: until its first text, if it was shown."""

    response: ModelResponse
    first_token_seconds: float | None = None


class Superseded(msgspec.Struct, frozen=True):
    """What an earlier attempt of a model call has shown: events from this index on are void."""

    first_index: int


class KeptError(LicetError):
    """What is kept of a step that failed. ``kept_code`` is the code that its error had."""

    def __init__(self, message: str, kept_code: str) -> None:
        super().__init__(message)
        self.kept_code = kept_code


AskModel = Callable[[Superseded | None], Awaitable[ModelTurn]]
"""Asks a model. It is given what an attempt that broke off has shown, if there was one."""

CallTool = Callable[[], Awaitable[ToolExecution]]


class Steps(Protocol):
    """How steps are done. A run asks for them in one order, whoever works on it."""

    async def model(self, ask: AskModel) -> ModelTurn:
        """Ask a model."""

    def tool(self, call: CallTool) -> Awaitable[ToolExecution]:
        """Call a tool. The step takes its place now; the call begins when it is awaited."""


class PlainSteps:
    """Does each step, and keeps nothing."""

    async def model(self, ask: AskModel) -> ModelTurn:
        """Ask a model."""
        return await ask(None)

    def tool(self, call: CallTool) -> Awaitable[ToolExecution]:
        """Call a tool."""
        return call()


PLAIN_STEPS = PlainSteps()
