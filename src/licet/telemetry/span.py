"""SpanObservation: one span, current inside of its block, which no exception's text gets into."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextvars import Token
from types import TracebackType
from typing import Self

from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import SpanKind, StatusCode, Tracer, set_span_in_context
from opentelemetry.util.types import AttributeValue

from licet.agent.steps import KeptError
from licet.errors import LicetError
from licet.telemetry.names import ERROR_TYPE

_CANCELLED = "cancelled"


class SpanObservation:
    """A span that begins and ends with the block.

    Args:
        tracer: makes it.
        name: of few values: no id, nothing that a client says.
        kind: where it stands between processes.
        attributes: what is known at its beginning.
        parent: what it belongs to; None: to the span that is current.
    """

    def __init__(
        self,
        tracer: Tracer,
        name: str,
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Mapping[str, AttributeValue],
        parent: Context | None = None,
    ) -> None:
        self._began = time.perf_counter()
        self.span = tracer.start_span(name, context=parent, kind=kind, attributes=dict(attributes))
        self.error_type: str | None = None
        self._token: Token[Context]

    def __enter__(self) -> Self:
        self._token = attach(set_span_in_context(self.span))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None and self.error_type is None:
            self.failed(error_type_of(error))
        detach(self._token)
        self.ended(time.perf_counter() - self._began)
        self.span.end()

    def failed(self, error_type: str) -> None:
        """It came to nothing. ``error_type`` is of few values."""
        self.error_type = error_type
        self.span.set_attribute(ERROR_TYPE, error_type)
        if error_type != _CANCELLED:
            self.span.set_status(StatusCode.ERROR)

    def ended(self, seconds: float) -> None:
        """It ended after so many seconds: count that, if it is counted."""


def error_type_of(error: BaseException) -> str:
    """What kind of error it is, without its text."""
    if isinstance(error, asyncio.CancelledError):
        return _CANCELLED
    if isinstance(error, KeptError):
        return error.kept_code
    return error.code if isinstance(error, LicetError) else type(error).__name__
