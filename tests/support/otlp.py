"""A receiver of OTLP over HTTP: what a real exporter sends, decoded."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

DEADLINE_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanSeen:
    """A span as it arrived. Ids are hexadecimal; ``parent_id`` "": it is a root."""

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    status: str
    start: int
    end: int
    service: str
    instance: str
    attributes: dict[str, Any]
    events: tuple[str, ...]
    links: tuple[str, ...]


@dataclass
class Received:
    """All that arrived so far; ``raw`` as it came, to be searched for what must not be there."""

    url: str = ""
    spans: list[SpanSeen] = field(default_factory=list)
    metrics: set[str] = field(default_factory=set)
    labels: set[tuple[str, str, str]] = field(default_factory=set)
    raw: list[bytes] = field(default_factory=list)

    def wait_for(self, found: Callable[[list[SpanSeen]], bool], *, what: str) -> list[SpanSeen]:
        """The spans, once a condition holds of them."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not found(list(self.spans)):
            names = [span.name for span in self.spans]
            assert time.monotonic() < deadline, f"waited in vain for {what}; there are {names}"
            time.sleep(0.02)
        return list(self.spans)


@contextmanager
def otlp_receiver() -> Iterator[Received]:
    """Take what is sent, until the block ends."""
    received = Received()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            received.raw.append(body)
            if self.path == "/v1/traces":
                received.spans.extend(_spans(ExportTraceServiceRequest.FromString(body)))
            else:
                _read_metrics(ExportMetricsServiceRequest.FromString(body), received)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    received.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield received
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


def _spans(request: ExportTraceServiceRequest) -> Iterator[SpanSeen]:
    for of_resource in request.resource_spans:
        resource = _values(of_resource.resource.attributes)
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                yield _seen(span, resource)


def _seen(span: Span, resource: dict[str, Any]) -> SpanSeen:
    return SpanSeen(
        name=span.name,
        kind=Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        status=("UNSET", "OK", "ERROR")[span.status.code],
        start=span.start_time_unix_nano,
        end=span.end_time_unix_nano,
        service=resource["service.name"],
        instance=resource["service.instance.id"],
        attributes=_values(span.attributes),
        events=tuple(event.name for event in span.events),
        links=tuple(link.trace_id.hex() for link in span.links),
    )


def _values(attributes: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    pairs: list[KeyValue] = list(attributes)
    for pair in pairs:
        found[pair.key] = _value(pair.value)
    return found


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(each) for each in value.array_value.values]
    return None if kind is None else getattr(value, kind)


def _read_metrics(request: ExportMetricsServiceRequest, received: Received) -> None:
    for of_resource in request.resource_metrics:
        for of_scope in of_resource.scope_metrics:
            for metric in of_scope.metrics:
                received.metrics.add(metric.name)
                points = getattr(metric, metric.WhichOneof("data") or "gauge").data_points
                for point in points:
                    for name, value in _values(point.attributes).items():
                        received.labels.add((metric.name, name, str(value)))
