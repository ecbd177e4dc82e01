from __future__ import annotations

import pytest
from fastapi import FastAPI
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.trace import format_span_id, format_trace_id
from starlette.requests import Request
from starlette.responses import Response

from licet.errors import ConfigurationError
from licet.telemetry import Telemetry
from licet.telemetry.requests import UNTRACED, route_served, use_stable_names
from tests.support.world import OWNER, World
from tests.telemetry.conftest import Observed

TRACE_ID, SENDER_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SENDER = {"traceparent": f"00-{TRACE_ID}-{SENDER_ID}-01", "baggage": "user=sten"}
IGNORED = {"traceparent": f"00-{TRACE_ID}-{SENDER_ID}-00"}


def test_a_request_is_named_after_the_route_that_serves_it(observed: Observed) -> None:
    with observed.served() as client:
        headers = observed.world.bearer(OWNER, "agents:read")
        for method, path in (
            *(("GET", "/agents/alpha"), ("GET", "/agents/alpha/"), ("HEAD", "/agents/alpha")),
            *(("PURGE", "/agents/alpha"), ("GET", "/nothing/here")),
        ):
            client.request(method, path, headers=headers)
    spans = [s for s in observed.spans.get_finished_spans() if s.name != "authorize"]
    template = "/agents/{agent_id}"
    assert [span.name for span in spans] == [
        *(f"GET {template}", f"GET {template}", f"HEAD {template}", f"HTTP {template}", "GET")
    ]
    assert [(span.attributes or {}).get("http.route") for span in spans] == [*[template] * 4, None]


@pytest.mark.parametrize(
    "query", ["access_token=secret", "%ff=1", "a=%00"], ids=["a token", "no text", "NUL"]
)
def test_queries_and_headers_are_not_recorded_and_reach_the_route(
    observed: Observed, query: str
) -> None:
    seen: list[tuple[str, str]] = []

    async def tell(request: Request) -> Response:
        seen.append((request.url.query, request.headers["x-mine"]))
        return Response()

    app = FastAPI()
    app.add_route("/echo", tell)
    with observed.served(base_app=app) as client:
        headers = {**observed.world.admin(), "x-mine": "secret", "user-agent": "secret"}
        assert client.get(f"/echo?{query}", headers=headers).status_code == 200
    assert seen == [(query, "secret")]
    (span,) = observed.seen("GET")
    assert "secret" not in span.to_json()
    assert set(span.attributes or ()) == {
        *("http.request.method", "http.response.status_code", "http.route", "url.path"),
        *("url.scheme", "network.protocol.version", "client.address", "licet.request.id"),
    }


def test_a_request_begins_a_trace_of_its_own_and_is_linked_to_its_senders(
    observed: Observed,
) -> None:
    with observed.served() as client:
        # Whether the sender records is no word on what is recorded here.
        client.get("/agents", headers=SENDER)
        client.get("/agents", headers=IGNORED)
    for span in observed.seen("GET"):
        assert span.parent is None
        assert span.context is not None
        assert format_trace_id(span.context.trace_id) != TRACE_ID
        (link,) = span.links
        assert format_trace_id(link.context.trace_id) == TRACE_ID
        assert "sten" not in span.to_json()


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"traceparent": "00-junk"},
        {"traceparent": f"00-{'0' * 32}-{SENDER_ID}-01"},
    ],
    ids=["none", "junk", "no id"],
)
def test_what_names_no_trace_is_linked_to_none(observed: Observed, headers: dict[str, str]) -> None:
    with observed.served() as client:
        client.get("/agents", headers=headers)
    (span,) = observed.seen("GET")
    assert span.links == ()


def test_two_senders_are_none(observed: Observed) -> None:
    with observed.served() as client:
        client.get("/agents", headers=[("traceparent", SENDER["traceparent"])] * 2)
    (span,) = observed.seen("GET")
    assert span.links == ()


def test_the_trace_of_a_trusted_sender_is_gone_on_with(observed: Observed) -> None:
    with observed.served(telemetry=observed.telemetry(trust_trace_context=True)) as client:
        client.get("/agents", headers=SENDER)
        client.get("/agents", headers=IGNORED)
        client.get("/agents")
    # The second is not recorded: its sender said so.
    first, last = observed.seen("GET")
    assert first.parent is not None
    assert first.context is not None
    assert format_trace_id(first.context.trace_id) == TRACE_ID
    assert format_span_id(first.parent.span_id) == SENDER_ID
    assert (first.links, last.parent) == ((), None)


def test_who_asks_every_few_seconds_is_not_traced(observed: Observed) -> None:
    with observed.served() as client:
        for path in sorted(UNTRACED):
            assert client.get(path, headers=observed.world.admin()).status_code == 200
        # Only they themselves: nobody hides behind something that looks like them.
        client.get("/agents?/health", headers={"host": "x/health"})
    assert [span.name for span in observed.spans.get_finished_spans()] == [
        "authorize",
        "GET /agents",
    ]
    measured = {
        labels["http.route"] for labels, _ in observed.counted("http.server.request.duration")
    }
    assert measured == UNTRACED | {"/agents"}


def test_requests_are_measured_by_method_route_and_status(observed: Observed) -> None:
    with observed.served() as client:
        client.get("/agents")
        client.request("PURGE", "/agents/sten", headers=observed.world.admin())
        client.get("/sten", headers=observed.world.admin())
    assert observed.counted("http.server.request.duration") == [
        (
            {
                "http.request.method": "GET",
                "http.response.status_code": 401,
                "http.route": "/agents",
            },
            1,
        ),
        (
            {
                "http.request.method": "_OTHER",
                "http.response.status_code": 405,
                "http.route": "/agents/{agent_id}",
            },
            1,
        ),
        ({"http.request.method": "GET", "http.response.status_code": 404}, 1),
    ]


def test_an_unforeseen_error_is_told_by_its_kind_alone(observed: Observed) -> None:
    app = FastAPI()

    @app.get("/broken")
    async def broken() -> None:
        raise ValueError("a secret")

    with observed.served(base_app=app) as client:
        assert client.get("/broken", headers=observed.world.admin()).status_code == 500
    (span,) = observed.seen("GET")
    assert not span.status.is_ok
    assert [dict(event.attributes or {}) for event in span.events] == [
        {"exception.type": "ValueError"}
    ]
    assert "a secret" not in span.to_json()


def test_what_is_instrumented_by_others_is_not_served() -> None:
    app = FastAPI()
    FastAPIInstrumentor.instrument_app(app)
    agent_os = World().agent_os(base_app=app, telemetry=Telemetry())
    with pytest.raises(ConfigurationError, match="instrumented for OpenTelemetry already"):
        agent_os.get_app()


def test_an_instrumentation_that_does_not_take_is_noticed(
    observed: Observed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FastAPIInstrumentor, "instrument_app", lambda *_, **__: None)
    app = observed.world.agent_os(telemetry=observed.telemetry()).get_app()
    with pytest.raises(ConfigurationError, match="does not fit"):
        app.build_middleware_stack()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "http,database"),
        ("gen_ai_latest_experimental", "gen_ai_latest_experimental,http,database"),
        ("http/dup,database", "http/dup,database"),
    ],
)
def test_instrumentations_are_asked_for_todays_names(before: str, after: str) -> None:
    environ = {"OTEL_SEMCONV_STABILITY_OPT_IN": before}
    use_stable_names(environ)
    assert environ == {"OTEL_SEMCONV_STABILITY_OPT_IN": after}


def test_a_route_of_a_request_that_is_not_measured_is_nobodys_business() -> None:
    scope: dict[str, object] = {}
    route_served(scope, "/agents")
    assert scope == {}


def test_the_sdk_can_be_turned_off_from_outside(
    observed: Observed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    with observed.served() as client:
        assert client.get("/agents", headers=observed.world.admin() | SENDER).status_code == 200
        answer = client.get("/telemetry/metrics", headers=observed.world.admin())
    assert (answer.status_code, answer.text) == (200, "")
    assert observed.spans.get_finished_spans() == ()
