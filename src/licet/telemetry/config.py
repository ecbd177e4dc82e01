"""Telemetry: what is told of a server, and to whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from licet.errors import ConfigurationError
from licet.os.observer import Observer

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricReader
    from opentelemetry.sdk.trace.export import SpanExporter

_NEEDED = (
    "opentelemetry.sdk",
    "opentelemetry.exporter.otlp.proto.http",
    "opentelemetry.exporter.prometheus",
    "opentelemetry.instrumentation.fastapi",
    "opentelemetry.instrumentation.sqlalchemy",
)


@dataclass(frozen=True, kw_only=True)
class Telemetry:
    """Traces and metrics of one ``AgentOS``.

    Neither has anything of what was said: no message, no argument or result of a tool, no header,
    no query, no token. The standard environment variables count: ``OTEL_EXPORTER_OTLP_ENDPOINT``
    and its kin, ``OTEL_SERVICE_NAME``, ``OTEL_RESOURCE_ATTRIBUTES``, ``OTEL_TRACES_SAMPLER``,
    ``OTEL_SDK_DISABLED`` and those of the batches.

    Args:
        endpoint: the base address of an OTLP receiver (HTTP, protobuf), ``http://collector:4318``.
            None: what the environment names; where it names none, nothing is sent.
        trust_trace_context: go on with the trace that a request brings (``traceparent``), and heed
            whether its sender records it. By default each request begins a trace of its own, which
            is linked to the sender's.
        span_exporters: more that take spans, of which they too get only what is recorded.
        metric_readers: more that take metrics.
    """

    endpoint: str | None = None
    trust_trace_context: bool = False
    span_exporters: Sequence[SpanExporter] = ()
    metric_readers: Sequence[MetricReader] = ()

    def observer(self, *, service_name: str, service_version: str) -> Observer:
        """Who looks on at a server. The environment's service name goes before the one given.

        Raises:
            ConfigurationError: the extra is not installed, or the environment asks for a protocol
                that is not spoken here.
        """
        if any(not _is_installed(module) for module in _NEEDED):
            raise ConfigurationError(
                "telemetry needs OpenTelemetry: pip install 'licet[telemetry]'"
            )
        from licet.telemetry.observer import OpenTelemetryObserver
        from licet.telemetry.providers import Providers, receiver, resource

        providers = Providers(
            resource(service_name, service_version),
            spans=receiver("traces", self.endpoint),
            metrics=receiver("metrics", self.endpoint),
            span_exporters=self.span_exporters,
            metric_readers=self.metric_readers,
        )
        return OpenTelemetryObserver(providers, trust_trace_context=self.trust_trace_context)


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # a package around it is missing
        return False
