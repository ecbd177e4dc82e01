from __future__ import annotations

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanKind, StatusCode

from licet.telemetry.cleaning import CleanExporter

SECRET = "eyJhbGciOi"


def sent(**given: object) -> ReadableSpan:
    """What leaves of a span that somebody made with these attributes, and that failed."""
    inner = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(CleanExporter(inner)))
    tracer = provider.get_tracer("test")
    elsewhere = tracer.start_span("elsewhere").get_span_context()
    attributes = {name.replace("__", "."): value for name, value in given.items()}
    span = tracer.start_span(
        "GET /agents",
        kind=SpanKind.SERVER,
        attributes=attributes,  # type: ignore[arg-type]  # also those that no span takes
        links=[Link(elsewhere, {"baggage": SECRET})],
    )
    span.record_exception(ValueError(SECRET))
    span.set_status(StatusCode.ERROR, SECRET)
    span.end()
    (found,) = inner.get_finished_spans()
    return found


def test_only_attributes_that_are_known_leave() -> None:
    span = sent(
        http__route="/agents",
        url__query=f"access_token={SECRET}",
        http__request__header__authorization=(SECRET,),
        user_agent__original=SECRET,
        gen_ai__input__messages=SECRET,
        new__in__the__next__version=SECRET,
    )
    assert dict(span.attributes or {}) == {"http.route": "/agents"}
    assert SECRET not in span.to_json()


def test_errors_are_told_by_their_kind() -> None:
    span = sent()
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, None)
    assert [(event.name, dict(event.attributes or {})) for event in span.events] == [
        ("exception", {"exception.type": "ValueError"})
    ]


def test_what_places_a_span_stays() -> None:
    span = sent()
    assert (span.name, span.kind) == ("GET /agents", SpanKind.SERVER)
    assert span.start_time is not None
    assert span.end_time is not None
    assert span.end_time >= span.start_time
    assert [link.context.is_valid for link in span.links] == [True]
    assert [dict(link.attributes or {}) for link in span.links] == [{}]


def test_texts_that_nobody_could_send_are_made_readable() -> None:
    span = sent(licet__reason="a\ud800b\nc", http__response__status_code=200)
    assert dict(span.attributes or {}) == {
        "licet.reason": "a�b�c",
        "http.response.status_code": 200,
    }


def test_a_statement_is_named_by_what_it_does() -> None:
    assert sent(db__system__name="sqlite").name == "GET"


def test_it_ends_and_flushes_what_it_hands_on_to() -> None:
    inner = InMemorySpanExporter()
    exporter = CleanExporter(inner)
    assert exporter.force_flush()
    exporter.shutdown()
    assert inner._stopped
