"""RunObserver: who looks on while runs work, such as what makes traces (``licet.telemetry``).

An observer is told when something begins, when it ends and what came of it. It changes nothing, and
what it passes on is its own affair: it is handed whole outcomes, and ``licet.telemetry`` takes
numbers and names out of them, never what was said.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Protocol, Self, TypeVar

from licet.agent.output import RunOutput
from licet.agent.run_request import RunRequest
from licet.agent.steps import ModelTurn
from licet.agent.telling import AskedModel
from licet.tools.function import ToolResult

Outcome_contra = TypeVar("Outcome_contra", contravariant=True)


class Observation(Protocol[Outcome_contra]):
    """One thing that is observed: entered when it begins, left when it ends, in one task."""

    def __enter__(self) -> Observation[Outcome_contra]:
        """It begins."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """It has ended, or failed by an error, which goes on."""

    def came_to(self, outcome: Outcome_contra) -> None:
        """What came of it. Said before its end; not where nothing came of it."""


class ObservedAgent(Protocol):
    """What an observer is told of an agent."""

    @property
    def id(self) -> str:
        """By which it is addressed."""

    @property
    def name(self) -> str:
        """For people."""


class RunObserver(Protocol):
    """Looks on while runs work. Its methods are called often, must not block, and raise nothing."""

    def run(self, agent: ObservedAgent, request: RunRequest) -> Observation[RunOutput]:
        """A run works here, from its first step to its end.

        What comes of it may have a status that is no end: then it was left to another process.
        """

    def model_call(self, model: AskedModel, *, streamed: bool) -> Observation[ModelTurn]:
        """A model is asked, with all that is tried again."""

    def tool_call(self, name: str, *, call_id: str) -> Observation[ToolResult]:
        """A tool is called. ``name`` is a tool's that the agent has; the model made the id."""

    def trace_context(self) -> Mapping[str, str] | None:
        """What a durable run takes along, so that its trace goes on in another process."""


class NoObservation:
    """Looks at nothing."""

    __slots__ = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Nothing was looked at."""

    def came_to(self, outcome: object) -> None:
        """Nobody wants to know."""


NO_OBSERVATION = NoObservation()
"""The one that everything shares: not to be observed makes no object."""


class NoObserver:
    """Looks on nowhere."""

    __slots__ = ()

    def run(self, _agent: ObservedAgent, _request: RunRequest) -> NoObservation:
        """Nothing of a run."""
        return NO_OBSERVATION

    def model_call(self, _model: AskedModel, *, streamed: bool) -> NoObservation:  # noqa: ARG002 - the protocol's
        """Nothing of a model call."""
        return NO_OBSERVATION

    def tool_call(self, _name: str, *, call_id: str) -> NoObservation:  # noqa: ARG002 - the protocol's
        """Nothing of a tool call."""
        return NO_OBSERVATION

    def trace_context(self) -> None:
        """There is no trace."""


UNOBSERVED = NoObserver()
