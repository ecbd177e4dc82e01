"""A served AgentOS that is looked on at, and what its spans and numbers are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from licet.telemetry import Telemetry
from tests.support.live import serve
from tests.support.postgres import postgres_server, postgres_url
from tests.support.world import World

__all__ = ["postgres_server", "postgres_url"]


@dataclass
class Observed:
    """A world whose server is looked on at; what is seen of it is there when it has ended."""

    world: World = field(default_factory=World)
    spans: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)
    numbers: InMemoryMetricReader = field(default_factory=InMemoryMetricReader)

    def telemetry(self, *more: SpanExporter, **given: Any) -> Telemetry:
        """Settings by which spans and numbers come here."""
        return Telemetry(
            span_exporters=(self.spans, *more), metric_readers=(self.numbers,), **given
        )

    @contextmanager
    def served(self, **given: Any) -> Iterator[httpx.Client]:
        """A client of the server; the end of the block sends what was seen."""
        given.setdefault("telemetry", self.telemetry())
        with (
            serve(self.world.agent_os(**given).get_app()) as live,
            httpx.Client(base_url=live.url, timeout=20) as client,
        ):
            yield client

    def seen(self, kind: str) -> list[ReadableSpan]:
        """The spans whose names begin with a word, in the order in which they ended."""
        ended = self.spans.get_finished_spans()
        return [span for span in ended if span.name.partition(" ")[0] == kind]

    def counted(self, name: str) -> list[tuple[dict[str, Any], Any]]:
        """The points of a metric: labels, and value or count."""
        data = self.numbers.get_metrics_data()
        return [
            (dict(point.attributes or {}), getattr(point, "value", getattr(point, "count", None)))
            for of_resource in (data.resource_metrics if data else ())
            for of_scope in of_resource.scope_metrics
            for metric in of_scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]


@pytest.fixture
def observed() -> Observed:
    return Observed()
