"""Providers: OpenTelemetry's SDK, set up as the settings and the environment ask."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from licet.errors import ConfigurationError
from licet.telemetry.cleaning import CleanExporter
from licet.telemetry.prometheus import PrometheusMetrics
from licet.telemetry.statements import STATEMENTS

_SPOKEN = "http/protobuf"
_UNKNOWN_SERVICE = "unknown_service"
_FLUSH_MILLISECONDS = 5_000


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where one signal is sent. ``endpoint`` None: whereto the environment says."""

    endpoint: str | None


class Providers:
    """Where spans and numbers go.

    Attributes:
        traces: of everything that begins with a request or a run.
        statements: of SQL statements.
        meters: of all numbers.
        prometheus: the numbers as Prometheus reads them.

    Args:
        resource: who tells.
        spans: where spans are sent; None: nowhere.
        metrics: where numbers are sent; None: nowhere.
        span_exporters: who takes spans beside.
        metric_readers: who takes numbers beside.
    """

    def __init__(
        self,
        resource: Resource,
        *,
        spans: Receiver | None = None,
        metrics: Receiver | None = None,
        span_exporters: Sequence[SpanExporter] = (),
        metric_readers: Sequence[MetricReader] = (),
    ) -> None:
        self._spans = spans
        self._metrics = metrics
        self._span_exporters = tuple(span_exporters)
        self._metric_readers = tuple(metric_readers)
        self._readers: list[MetricReader] = []
        self._is_open = False
        # What is left at the end is sent by ``flush``, which does not wait for ever.
        self.traces = TracerProvider(resource=resource, shutdown_on_exit=False)
        self.statements = TracerProvider(
            resource=resource, shutdown_on_exit=False, sampler=STATEMENTS
        )
        self.prometheus = PrometheusMetrics()
        self.meters = MeterProvider(
            metric_readers=[self.prometheus.reader], resource=resource, shutdown_on_exit=False
        )

    def open(self) -> None:
        """Begin to send: in the process that serves, and once, however often it serves."""
        if self._is_open:
            return
        self._is_open = True
        exporters, readers = list(self._span_exporters), list(self._metric_readers)
        if self._spans is not None:
            exporters.append(OTLPSpanExporter(endpoint=self._spans.endpoint))
        if self._metrics is not None:
            exporter = OTLPMetricExporter(endpoint=self._metrics.endpoint)
            readers.append(PeriodicExportingMetricReader(exporter))
        for span_exporter in exporters:
            processor = BatchSpanProcessor(CleanExporter(span_exporter))
            self.traces.add_span_processor(processor)
            self.statements.add_span_processor(processor)
        for reader in readers:
            self.meters.add_metric_reader(reader)
        self._readers = readers

    def flush(self) -> None:
        """Send what waits. Blocks, for seconds where nobody takes it."""
        self.traces.force_flush(_FLUSH_MILLISECONDS)
        for reader in self._readers:
            reader.force_flush(_FLUSH_MILLISECONDS)


def receiver(
    signal: str, endpoint: str | None, *, environ: Mapping[str, str] = os.environ
) -> Receiver | None:
    """Where a signal (``traces``, ``metrics``) is sent; None: nowhere, since nobody says where.

    Args:
        signal: which.
        endpoint: the receiver's base address, from the settings.
        environ: what names one else, and may turn the signal off.

    Raises:
        ConfigurationError: the environment asks for a protocol that is not spoken here.
    """
    upper = signal.upper()
    if environ.get(f"OTEL_{upper}_EXPORTER", "").strip() == "none":
        return None
    if endpoint is None and not _named(environ, upper, "ENDPOINT"):
        return None
    protocol = _named(environ, upper, "PROTOCOL") or _SPOKEN
    if protocol != _SPOKEN:
        raise ConfigurationError(
            f"the environment asks for OTLP by {protocol!r}; Licet speaks {_SPOKEN} "
            "(port 4318 of most receivers)"
        )
    return Receiver(None if endpoint is None else f"{endpoint.rstrip('/')}/v1/{signal}")


def _named(environ: Mapping[str, str], signal: str, what: str) -> str:
    own = environ.get(f"OTEL_EXPORTER_OTLP_{signal}_{what}", "")
    return (own or environ.get(f"OTEL_EXPORTER_OTLP_{what}", "")).strip()


def resource(service_name: str, service_version: str) -> Resource:
    """Who tells: this process of that service. What the environment says of it goes before."""
    said = dict(Resource.create().attributes)
    if str(said[SERVICE_NAME]).startswith(_UNKNOWN_SERVICE):
        said[SERVICE_NAME] = service_name
    return Resource({SERVICE_VERSION: service_version, **said})
