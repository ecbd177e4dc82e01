"""Meters: what is counted and measured. Labels are of few values: no user, run, session or path."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from opentelemetry.metrics import CallbackOptions, Histogram, MeterProvider, Observation
from opentelemetry.util.types import AttributeValue

from licet._version import __version__
from licet.models.message import Usage
from licet.os.observer import Load
from licet.telemetry import names

_SCOPE = "licet"
# As the conventions have them.
_TOKEN_BOUNDARIES = tuple(float(4**power) for power in range(14))
_MODEL_BOUNDARIES = tuple(0.01 * 2**power for power in range(14))
_HTTP_BOUNDARIES = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)

Attributes = Mapping[str, AttributeValue]


class Meters:
    """The instruments of one server.

    Args:
        provider: makes them.
    """

    def __init__(self, provider: MeterProvider) -> None:
        self._meter = meter = provider.get_meter(_SCOPE, __version__)
        self._requests = self._seconds(
            "http.server.request.duration", "HTTP requests, by route.", _HTTP_BOUNDARIES
        )
        self._model_calls = self._seconds("gen_ai.client.operation.duration", "Model calls.")
        self._run_seconds = self._seconds("gen_ai.invoke_agent.duration", "Runs that ended here.")
        self._tool_calls = self._seconds("gen_ai.execute_tool.duration", "Tool calls.")
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            unit="{token}",
            description="Tokens of model calls.",
            explicit_bucket_boundaries_advisory=_TOKEN_BOUNDARIES,
        )
        self._runs = meter.create_counter(
            "licet.runs", unit="{run}", description="Runs that ended here, by status."
        )
        self._decisions = meter.create_counter(
            "licet.decisions", unit="{decision}", description="Requests that were decided."
        )

    def _seconds(
        self, name: str, description: str, boundaries: Sequence[float] = _MODEL_BOUNDARIES
    ) -> Histogram:
        return self._meter.create_histogram(
            name,
            unit="s",
            description=description,
            explicit_bucket_boundaries_advisory=boundaries,
        )

    def observe_load(self, load: Callable[[], Load | None]) -> None:
        """Ask for what is under way whenever numbers are read; None: there is nothing to tell."""

        def gauge(name: str, unit: str, description: str, of: Callable[[Load], int | None]) -> None:
            def observed(_options: CallbackOptions) -> Iterable[Observation]:
                now = load()
                value = None if now is None else of(now)
                return [] if value is None else [Observation(value)]

            self._meter.create_observable_gauge(
                name, callbacks=[observed], unit=unit, description=description
            )

        gauge("licet.runs.at_work", "{run}", "Runs at work here.", lambda now: now.runs_at_work)
        gauge(
            "licet.runs.waiting",
            "{run}",
            "Durable runs that wait, of all processes.",
            lambda now: now.runs_waiting,
        )
        gauge(
            "licet.streams.open",
            "{stream}",
            "Event streams being sent here.",
            lambda now: now.open_streams,
        )

    def answered(self, method: str, *, route: str, status: int, seconds: float) -> None:
        """A request was answered. ``route`` is a template; "": no route matched."""
        labels: dict[str, AttributeValue] = {
            "http.request.method": method,
            "http.response.status_code": status,
        }
        if route:
            labels[names.ROUTE] = route
        self._requests.record(seconds, labels)

    def decided(self, decision: str, *, action: str) -> None:
        """A request was decided. ``action`` is the permission that its route asks for, or ""."""
        self._decisions.add(1, {names.DECISION: decision, names.ACTION: action})

    def run_ended(self, agent_id: str, status: str, *, seconds: float) -> None:
        """A run ended in this process, which worked on it for so long."""
        self._runs.add(1, {names.AGENT_ID: agent_id, names.RUN_STATUS: status})
        self._run_seconds.record(
            seconds, {names.OPERATION: "invoke_agent", names.AGENT_ID: agent_id}
        )

    def model_called(
        self, common: Attributes, *, seconds: float, error_type: str | None, usage: Usage | None
    ) -> None:
        """A model call ended. ``usage`` None: nothing is known of it."""
        self._model_calls.record(seconds, _with_error(common, error_type))
        if usage is not None:
            for kind, count in (("input", usage.input_tokens), ("output", usage.output_tokens)):
                self._tokens.record(count, {**common, names.TOKEN_TYPE: kind})

    def tool_called(self, name: str, *, seconds: float, error_type: str | None) -> None:
        """A tool call ended."""
        common = {names.OPERATION: "execute_tool", names.TOOL_NAME: name}
        self._tool_calls.record(seconds, _with_error(common, error_type))


def _with_error(common: Attributes, error_type: str | None) -> Attributes:
    return common if error_type is None else {**common, names.ERROR_TYPE: error_type}
