from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from licet.errors import ConfigurationError
from licet.telemetry.providers import Providers, Receiver, receiver, resource
from tests.support.otlp import Received, otlp_receiver

BASE = "http://collector:4318"
NAMED = {"OTEL_EXPORTER_OTLP_ENDPOINT": BASE}


@pytest.fixture
def received() -> Iterator[Received]:
    """What a receiver gets."""
    with otlp_receiver() as receiving:
        yield receiving


@pytest.fixture
def make(received: Received) -> Iterator[Callable[..., Providers]]:
    """Makes providers. Their threads end with the test: a process of a server ends as a whole."""
    made: list[Providers] = []

    def providers(**given: Any) -> Providers:
        made.append(Providers(resource("parcels", "1"), **given))
        return made[-1]

    yield providers
    for each in made:
        each.traces.shutdown()
        for reader in each._readers:
            reader.shutdown()


@pytest.mark.parametrize(
    ("endpoint", "environ", "expected"),
    [
        (None, {}, None),
        (BASE, {}, Receiver(f"{BASE}/v1/traces")),
        (f"{BASE}/", {}, Receiver(f"{BASE}/v1/traces")),
        (None, NAMED, Receiver(None)),
        (None, {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{BASE}/x"}, Receiver(None)),
        (None, {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": BASE}, None),
        (BASE, {**NAMED, "OTEL_TRACES_EXPORTER": "none"}, None),
        (None, {**NAMED, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, Receiver(None)),
        (None, {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, None),
    ],
)
def test_spans_are_sent_to_where_somebody_says(
    endpoint: str | None, environ: dict[str, str], expected: Receiver | None
) -> None:
    assert receiver("traces", endpoint, environ=environ) == expected


@pytest.mark.parametrize(
    "name", ["OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"]
)
def test_a_protocol_that_is_not_spoken_is_an_error(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"'grpc'.*http/protobuf"):
        receiver("traces", BASE, environ={name: "grpc"})


def test_a_process_says_which_one_it_is_of_which_service() -> None:
    said = dict(resource("parcels", "1.2").attributes)
    assert (said["service.name"], said["service.version"]) == ("parcels", "1.2")
    assert said["service.instance.id"]


def test_the_environments_words_go_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.version=9,deployment=blue")
    attributes = dict(resource("parcels", "1.2").attributes)
    assert attributes["service.name"] == "shop"
    assert (attributes["service.version"], attributes["deployment"]) == ("9", "blue")


def test_nothing_is_sent_before_the_server_serves(make: Callable[..., Providers]) -> None:
    exporter = InMemorySpanExporter()
    providers = make(span_exporters=[exporter])
    tracer = providers.traces.get_tracer("test")
    tracer.start_span("before").end()
    providers.open()
    providers.open()
    tracer.start_span("while").end()
    providers.flush()
    assert [span.name for span in exporter.get_finished_spans()] == ["while"]


def test_both_signals_reach_a_receiver(received: Received, make: Callable[..., Providers]) -> None:
    providers = make(
        spans=receiver("traces", received.url), metrics=receiver("metrics", received.url)
    )
    providers.open()
    providers.traces.get_tracer("test").start_span("a span").end()
    providers.meters.get_meter("test").create_counter("a.number").add(1)
    providers.flush()
    assert [(span.name, span.service) for span in received.spans] == [("a span", "parcels")]
    assert received.metrics == {"a.number"}
