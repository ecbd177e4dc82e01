"""The spans of requests, by FastAPI's own instrumentation, which gets to see no more than it may.

It knows neither what is secret nor whom to trust. So what it could record, or stumble over, is
taken out of its sight and put back behind it: the query, and all headers but a trusted trace's.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass

from fastapi import FastAPI
from opentelemetry.context import Context
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.instrumentation.utils import suppress_http_instrumentation
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.trace import (
    Span,
    SpanContext,
    TracerProvider,
    format_trace_id,
    get_current_span,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from licet.errors import ConfigurationError
from licet.log_context import TRACE_ID
from licet.os.middleware.request_id import REQUEST_ID_KEY
from licet.telemetry import names
from licet.telemetry.meters import Meters

_GIVEN_KEY = "licet.telemetry.given"
_SERVED_KEY = "licet.telemetry.served"
_TRACE_HEADERS = frozenset((b"traceparent", b"tracestate"))
METHODS = frozenset(
    ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT")
)
_STABILITY = "OTEL_SEMCONV_STABILITY_OPT_IN"
# Asked every few seconds by programs: nobody reads traces of that. Whole paths, so that no client
# can hide by something that looks like them.
UNTRACED = frozenset(("/health", "/health/live", "/health/ready", "/telemetry/metrics"))


@dataclass(slots=True)
class Served:
    """What becomes known of a request on its way. ``route`` "": no route matched."""

    route: str = ""
    status: int = 500


def observe_requests(
    app: FastAPI, provider: TracerProvider, meters: Meters, *, trusted: bool
) -> None:
    """Let each request of an app be a span, and measure it.

    Raises:
        ConfigurationError: somebody else has instrumented the app, and would record all there is.
    """
    if getattr(app, "_is_instrumented_by_opentelemetry", False):
        raise ConfigurationError(
            "the app is instrumented for OpenTelemetry already (by opentelemetry-instrument?), by "
            "what may record tokens; leave that out, or leave telemetry= out"
        )
    use_stable_names(os.environ)
    FastAPIInstrumentor.instrument_app(
        app,
        server_request_hook=_begun,
        tracer_provider=provider,
        # It measures by the route that it makes out itself, which is not always the one served.
        meter_provider=NoOpMeterProvider(),
        # Not those of the environment: they are searched for in what a client sends.
        excluded_urls="",
        exclude_spans=["receive", "send"],
    )
    build = app.build_middleware_stack

    def build_observed() -> ASGIApp:
        stack = build()
        if not isinstance(getattr(stack, "app", None), OpenTelemetryMiddleware):
            raise ConfigurationError("this version of the FastAPI instrumentation does not fit")
        return RequestBoundary(stack, meters, trusted=trusted)

    app.build_middleware_stack = build_observed  # type: ignore[method-assign]


def use_stable_names(environ: MutableMapping[str, str]) -> None:
    """Ask the instrumentations for today's names of attributes, where nobody has asked for others.

    There is no other way to ask, and they look only once.
    """
    asked = [word for word in environ.get(_STABILITY, "").split(",") if word]
    for signal in ("http", "database"):
        if not {signal, f"{signal}/dup"} & set(asked):
            asked.append(signal)
    environ[_STABILITY] = ",".join(asked)


def route_served(scope: Scope, template: str) -> None:
    """Say which route serves a request: by its template."""
    served = scope.get(_SERVED_KEY)
    if isinstance(served, Served):
        served.route = template


class RequestBoundary:
    """Stands around what makes spans of requests.

    Args:
        app: what comes after.
        meters: measure requests.
        trusted: whether the trace that a request brings is gone on with.
    """

    def __init__(self, app: ASGIApp, meters: Meters, *, trusted: bool) -> None:
        self._app = app
        self._meters = meters
        self._trusted = trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, seen as far as it may be."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        served, began = Served(), time.perf_counter()

        async def send_seen(message: Message) -> None:
            if message["type"] == "http.response.start":
                served.status = message["status"]
            await send(message)

        try:
            if scope["path"] in UNTRACED:
                with suppress_http_instrumentation():
                    await self._app({**scope, _SERVED_KEY: served}, receive, send_seen)
            else:
                await self._app(self._veiled(scope, served), receive, send_seen)
        finally:
            if scope["type"] == "http":
                method = scope["method"] if scope["method"] in METHODS else "_OTHER"
                seconds = time.perf_counter() - began
                self._meters.answered(
                    method, route=served.route, status=served.status, seconds=seconds
                )

    def _veiled(self, scope: Scope, served: Served) -> Scope:
        headers = scope["headers"]
        trace = [h for h in headers if h[0] in _TRACE_HEADERS] if self._trusted else []
        query = scope.get("query_string", b"")
        return {
            **scope,
            "headers": trace,
            "query_string": b"",
            _GIVEN_KEY: (headers, query),
            _SERVED_KEY: served,
        }


def _begun(span: Span, scope: Scope) -> None:
    """The span of a request has begun: put back what it was not to see."""
    headers, query = scope.pop(_GIVEN_KEY)
    goes_on = bool(scope["headers"])
    scope["headers"], scope["query_string"] = headers, query
    context = span.get_span_context()
    if context.is_valid:
        TRACE_ID.set(format_trace_id(context.trace_id))
    span.set_attribute(names.REQUEST_ID, scope.get(REQUEST_ID_KEY, ""))
    sender = _sender(headers)
    if sender.is_valid and not goes_on:
        span.add_link(sender)


def _sender(headers: Iterable[tuple[bytes, bytes]]) -> SpanContext:
    """The span that a request says it comes from; none, unless it says so in exactly one header."""
    found = [value for name, value in headers if name == b"traceparent"]
    carrier = {"traceparent": found[0].decode("latin-1")} if len(found) == 1 else {}
    remote = TraceContextTextMapPropagator().extract(carrier, context=Context())
    return get_current_span(remote).get_span_context()
