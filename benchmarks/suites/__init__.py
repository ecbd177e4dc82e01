"""The suites, by the name under which they are chosen; one module each."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.suite import Suite
from benchmarks.suites import (
    audited,
    durable,
    first_event,
    generator,
    list_agents,
    long_sessions,
    many_sessions,
    open_streams,
    row_security,
    runs,
    start_up,
    streamed_runs,
    tokens,
)

SUITES: Mapping[str, Suite] = {
    "generator": generator.measure,
    "list_agents": list_agents.measure,
    "runs": runs.measure,
    "streamed_runs": streamed_runs.measure,
    "first_event": first_event.measure,
    "open_streams": open_streams.measure,
    "tokens": tokens.measure,
    "audited": audited.measure,
    "long_sessions": long_sessions.measure,
    "many_sessions": many_sessions.measure,
    "durable": durable.measure,
    "start_up": start_up.measure,
    "row_security": row_security.measure,
}
