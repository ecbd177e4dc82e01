"""Spans of SQL statements, by SQLAlchemy's own instrumentation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from opentelemetry.context import Context
from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    ParentBased,
    Sampler,
    SamplingResult,
)
from opentelemetry.trace import Link, SpanKind, TracerProvider, TraceState
from opentelemetry.util.types import Attributes

_CONNECT = "connect"


class _Statements(Sampler):
    """Leaves out what is no statement: taking a connection from its pool is a span there, too."""

    def should_sample(  # noqa: PLR0917 - the SDK's
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Whether a span inside of a recorded one is recorded."""
        sampler = ALWAYS_OFF if name == _CONNECT else ALWAYS_ON
        return sampler.should_sample(
            parent_context, trace_id, name, kind, attributes, links, trace_state
        )

    def get_description(self) -> str:
        """Its name."""
        return "Statements"


STATEMENTS = ParentBased(root=ALWAYS_OFF, local_parent_sampled=_Statements())
"""Statements are recorded inside of a recorded span, and only there.

What a server asks its database all day long by itself is no trace of anything.
"""


@contextmanager
def statements_observed(provider: TracerProvider) -> Iterator[None]:
    """Inside of the block, engines that are made tell of their statements.

    There is one such instrumentation in a process: of several servers in it the first has it, and
    one that the program has set up itself stays.
    """
    instrumentor = SQLAlchemyInstrumentor()
    if instrumentor.is_instrumented_by_opentelemetry:
        yield
        return
    # It names versions of SQLAlchemy that it was tried with; ours is newer, and tried by our tests.
    instrumentor.instrument(
        tracer_provider=provider, meter_provider=NoOpMeterProvider(), skip_dep_check=True
    )
    try:
        yield
    finally:
        instrumentor.uninstrument()
