"""OpenTelemetryObserver: what is looked on at becomes spans and numbers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from fastapi import FastAPI
from opentelemetry.context import Context
from opentelemetry.trace import NoOpTracer, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import Scope

from licet._version import __version__
from licet.agent.observer import ObservedAgent
from licet.agent.run_request import RunRequest
from licet.agent.telling import AskedModel
from licet.os.observer import Exposition, Load, Refresh
from licet.telemetry.decisions import DecisionSpan
from licet.telemetry.meters import Meters
from licet.telemetry.providers import Providers
from licet.telemetry.requests import observe_requests
from licet.telemetry.runs import ModelCallSpan, RunSpan, ToolCallSpan
from licet.telemetry.statements import statements_observed
from licet.tools.thread import run_in_thread

logger = logging.getLogger(__name__)

_SCOPE = "licet"
_REFRESH_SECONDS = 5.0
_FLUSH_SECONDS = 5.0
_PROPAGATOR = TraceContextTextMapPropagator()
_NO_TRACER = NoOpTracer()


class OpenTelemetryObserver:
    """Looks on at one server.

    Args:
        providers: where spans and numbers go.
        trust_trace_context: go on with the traces that requests bring.
    """

    def __init__(self, providers: Providers, *, trust_trace_context: bool) -> None:
        self._providers = providers
        self._trust_trace_context = trust_trace_context
        self._tracer = providers.traces.get_tracer(_SCOPE, __version__)
        self._meters = Meters(providers.meters)
        self._serving = False

    def run(self, agent: ObservedAgent, request: RunRequest) -> RunSpan:
        """The span of a run, below that of the request that asked for it, also elsewhere."""
        carried = request.trace_context
        parent = None if carried is None else _PROPAGATOR.extract(dict(carried), Context())
        return RunSpan(self._tracer, self._meters, agent=agent, request=request, parent=parent)

    def model_call(self, model: AskedModel, *, streamed: bool) -> ModelCallSpan:
        """The span of a model call."""
        return ModelCallSpan(self._tracer, self._meters, model, streamed=streamed)

    def tool_call(self, name: str, *, call_id: str) -> ToolCallSpan:
        """The span of a tool call."""
        return ToolCallSpan(self._tracer, self._meters, name, call_id=call_id)

    def trace_context(self) -> Mapping[str, str] | None:
        """The current span, as W3C Trace Context writes it; None: there is none."""
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier)
        return carrier or None

    def decision(self, scope: Scope) -> DecisionSpan:
        """The span of a decision. One of a request that is not traced is counted, no more."""
        request = get_current_span()
        traced = request.get_span_context().is_valid
        tracer = self._tracer if traced else _NO_TRACER
        return DecisionSpan(tracer, self._meters, scope, request)

    def watch(self, app: FastAPI, load: Callable[[], Load]) -> None:
        """Make a span of each request, and ask for the load whenever numbers are read.

        Raises:
            ConfigurationError: somebody else has instrumented the app.
        """
        observe_requests(
            app, self._providers.traces, self._meters, trusted=self._trust_trace_context
        )
        self._meters.observe_load(lambda: load() if self._serving else None)

    @asynccontextmanager
    async def serving(self, refresh: Refresh) -> AsyncIterator[None]:
        """Inside of the block, what was observed is sent; at its end what is left of it."""
        self._providers.open()
        self._serving = True
        refreshing = asyncio.create_task(_again_and_again(refresh))
        try:
            with statements_observed(self._providers.statements):
                yield
        finally:
            self._serving = False
            refreshing.cancel()
            await asyncio.wait([refreshing])
            await self._flush()

    async def _flush(self) -> None:
        try:
            async with asyncio.timeout(_FLUSH_SECONDS):
                await run_in_thread(self._providers.flush)
        except TimeoutError:
            logger.warning("what was last observed could not be sent; it is lost")

    def exposition(self) -> Exposition:
        """The numbers of this process."""
        return self._providers.prometheus.exposition()


async def _again_and_again(refresh: Refresh) -> None:
    while True:
        await refresh()
        await asyncio.sleep(_REFRESH_SECONDS)
