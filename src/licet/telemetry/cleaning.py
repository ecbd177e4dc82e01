"""Cleaning: what leaves the process of a span, whoever made it.

Instrumentations record more than we want told: queries, headers, the texts of errors. So each span
passes here, and only attributes that are known leave (``licet.telemetry.names``). What a newer
instrumentation adds stays inside until somebody has looked at it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import Link, Status
from opentelemetry.util.types import AttributeValue

from licet.audit.event import storable_text
from licet.telemetry.names import RECORDED

_EXCEPTION_TYPE = "exception.type"
_DATABASES = frozenset(("db.system", "db.system.name"))


def cleaned(span: ReadableSpan) -> ReadableSpan:
    """The span with what may leave: of errors their types alone, of links whereto."""
    return ReadableSpan(
        name=_name(span),
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=_only(span.attributes, RECORDED),
        events=[
            Event(event.name, _only(event.attributes, {_EXCEPTION_TYPE}), event.timestamp)
            for event in span.events
        ],
        links=[Link(link.context) for link in span.links],
        kind=span.kind,
        # Its description is the text of an error.
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _name(span: ReadableSpan) -> str:
    # That of a statement is its first word and then the database, which may be a file's whole path.
    about_database = _DATABASES & set(span.attributes or ())
    return span.name.partition(" ")[0] if about_database else span.name


def _only(
    attributes: Mapping[str, AttributeValue] | None, names: frozenset[str] | set[str]
) -> dict[str, AttributeValue]:
    return {name: _printable(value) for name, value in (attributes or {}).items() if name in names}


def _printable(value: AttributeValue) -> AttributeValue:
    # One text that cannot be encoded would keep its whole batch from being sent.
    return storable_text(value) if isinstance(value, str) else value


class CleanExporter(SpanExporter):
    """Hands spans on, cleaned.

    Args:
        inner: takes them.
    """

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Clean them and hand them on."""
        return self._inner.export([cleaned(span) for span in spans])

    def shutdown(self) -> None:
        """Let the inner one end."""
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Let the inner one send what it holds back, within milliseconds."""
        return self._inner.force_flush(timeout_millis)
