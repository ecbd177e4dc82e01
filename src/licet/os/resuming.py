"""Resuming: how a client that comes back to a run is told what it missed, and what it gets now."""

from __future__ import annotations

from collections.abc import AsyncIterator

from licet.db.records import RunStatus
from licet.os.sse import body_of, notice
from licet.runs.event_source import EventSource


def seen_of(source: EventSource, last_event_index: int) -> int:
    """The last event that a client needs no more.

    A replay begins anew, whatever the client has seen of the events that it is made in place of.
    An index that no event has yet counts as the last one: of a run that has ended, nobody has seen
    the end who says so.
    """
    if source.replayed:
        return -1
    last = source.next_index - 1
    if last_event_index > last:
        return last - 1 if source.ended else last
    return last_event_index


async def resumed(
    source: EventSource,
    run_id: str,
    status: RunStatus,
    *,
    last_event_index: int,
    ping_seconds: float,
) -> AsyncIterator[bytes]:
    """The events of a run after an index, with notices of what they are.

    Of a run that works: ``catch_up`` and what was missed, if anything was; then ``subscribed`` and
    what comes. Of another one: ``replay`` and its events. Of one that works where its events cannot
    be seen: ``replay`` and what is known, then ``subscribed``, and in the end how it ended.
    """
    seen, count = seen_of(source, last_event_index), source.next_index
    working = not source.ended
    state = status.lower() if source.replayed else "running"
    if source.replayed:
        yield notice(
            "replay",
            run_id=run_id,
            status=status,
            total_events=count,
            message="What is stored of the run: it begins anew, without the pieces of the answer",
        )
    elif not working:
        follow = count - max(seen + 1, source.first_index)
        yield notice(
            "replay",
            run_id=run_id,
            status=status,
            total_events=follow,
            total_buffered=count - source.first_index,
            last_event_index_requested=last_event_index,
            message=f"The run has ended; {follow} events follow",
        )
    elif seen < count - 1:
        missed = count - 1 - seen
        yield notice(
            "catch_up",
            run_id=run_id,
            status=state,
            missed_events=missed,
            current_event_count=count,
            message=f"{missed} events were missed",
        )
    async for piece in body_of(source, run_id, after=seen, before=count, ping_seconds=ping_seconds):
        yield piece
    if working:
        yield notice(
            "subscribed",
            run_id=run_id,
            status=state,
            current_event_count=count,
            message=(
                "The run is not worked on here: how it ends follows"
                if source.replayed
                else "Events follow as they come"
            ),
        )
        async for piece in body_of(source, run_id, after=count - 1, ping_seconds=ping_seconds):
            yield piece
