"""Frames: a run's events as they go over the wire (server-sent events, WHATWG HTML §9.2)."""

from __future__ import annotations

import functools

import msgspec

from licet.agent.events import (
    AgentEvent,
    RunCancelled,
    RunCompleted,
    RunContent,
    RunError,
    RunPaused,
)
from licet.agent.output import RunOutput, plain
from licet.runs.log import EventLog

_encoder = msgspec.json.Encoder(enc_hook=plain)
_LAST = frozenset((RunCompleted, RunError, RunCancelled, RunPaused))
_SPARE = frozenset((RunContent, *_LAST))


def frame(event: AgentEvent, index: int) -> bytes:
    """One event as a frame: its name, its index as the event's id, and its JSON on one line.

    The JSON says its index, too, as ``event_index``: not every client sees the id.
    """
    # Put in by hand: the event is encoded once, and does not know which it is.
    return b'event: %b\nid: %d\ndata: %b,"event_index":%d}\n\n' % (
        _name(type(event)),
        index,
        _encoder.encode(event)[:-1],
        index,
    )


@functools.cache
def _name(kind: type[AgentEvent]) -> bytes:
    return str(kind.__struct_config__.tag).encode()


class LogWriter:
    """Takes a run's events into a log, which ends with the one that says how the run ended.

    Args:
        log: where they go.
        all_events: False: the pieces of the answer and the run's end, or pause, only.
    """

    def __init__(self, log: EventLog, *, all_events: bool = True) -> None:
        self._log = log
        self._all_events = all_events
        self._ended = False

    @property
    def next_index(self) -> int:
        """The index that the next event will have."""
        return self._log.next_index

    def __call__(self, event: AgentEvent) -> None:
        """Take an event."""
        kind = type(event)
        if self._all_events or kind in _SPARE:
            self._log.append(frame(event, self._log.next_index))
            if kind in _LAST:
                # At once: whoever follows gets the event and the end in one go.
                self._ended = True
                self._log.close()

    def close(self, run: RunOutput) -> None:
        """No event follows. ``run`` is what the run has come to."""
        if not self._ended:
            # It broke down where nothing may: whoever follows it must not wait for its end.
            self(
                RunError(
                    created_at=run.created_at,
                    agent_id=run.agent_id,
                    agent_name=run.agent_name,
                    run_id=run.run_id,
                    session_id=run.session_id,
                    nested_depth=0,
                    content="The run broke down",
                    error_type="internal_error",
                )
            )
