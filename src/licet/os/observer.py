"""Observer: who looks on at a whole server, its requests and decisions and its runs.

``AgentOS(telemetry=…)`` brings one; ``licet.telemetry`` is the one that speaks OpenTelemetry, and
anybody may write another. Without one, ``UNOBSERVED_SERVER`` looks at nothing and makes no object.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from starlette.types import Scope

from licet.agent.observer import NO_OBSERVATION, NoObservation, NoObserver, Observation, RunObserver
from licet.os.judgement import Judgement

if TYPE_CHECKING:
    from fastapi import FastAPI

Refresh = Callable[[], Awaitable[None]]
"""Learns anew what only a database knows of the load."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is under way at one moment.

    ``runs_waiting`` counts durable runs that no process has taken on, over all processes of a
    database; None: nobody has looked yet. The others are of this process.
    """

    runs_at_work: int
    runs_waiting: int | None
    open_streams: int


@dataclass(frozen=True, slots=True)
class Exposition:
    """The metrics of this process as Prometheus reads them."""

    content: bytes
    media_type: str


class Observer(RunObserver, Protocol):
    """Looks on at a server."""

    def decision(self, scope: Scope) -> Observation[Judgement]:
        """A request is decided. ``scope`` is the request's, of which nothing was read yet."""

    def watch(self, app: FastAPI, load: Callable[[], Load]) -> None:
        """Look on at an app's requests, and ask now and then how much is under way. Said once.

        Called while the app is put together, before the outermost parts of the chain stand around
        it. ``load`` may be called from any thread, and raises nothing.
        """

    def serving(self, refresh: Refresh) -> AbstractAsyncContextManager[None]:
        """Inside of the block the server serves. Entered before all else is opened, left last."""

    def exposition(self) -> Exposition | None:
        """The metrics of this process; None: it keeps none that can be read here."""


class Telemetry(Protocol):
    """What makes observers: the settings that ``AgentOS(telemetry=…)`` is given."""

    def observer(self, *, service_name: str, service_version: str) -> Observer:
        """One for a server.

        Raises:
            ConfigurationError: what it needs is not installed, or a setting cannot be used.
        """


class NoServerObserver(NoObserver):
    """Looks on nowhere."""

    __slots__ = ()

    def decision(self, _scope: Scope) -> NoObservation:
        """Nothing of a decision."""
        return NO_OBSERVATION

    def watch(self, _app: FastAPI, _load: Callable[[], Load]) -> None:
        """Nothing of any request."""

    def serving(self, _refresh: Refresh) -> AbstractAsyncContextManager[None]:
        """Nothing is to be begun or ended."""
        return nullcontext()

    def exposition(self) -> None:
        """There are no metrics."""


UNOBSERVED_SERVER = NoServerObserver()
