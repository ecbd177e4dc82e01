from __future__ import annotations

import json
from typing import Any

import pytest

from licet.agent.events import AgentEvent, RunCancelled, RunContent, RunStarted
from licet.agent.output import RunInput, RunOutput
from licet.db.records import RunStatus
from licet.runs.frames import LogWriter, frame
from licet.runs.log import EventLog

WHERE: dict[str, Any] = {
    "created_at": 1,
    "agent_id": "a",
    "agent_name": "A",
    "run_id": "r",
    "session_id": "s",
    "nested_depth": 0,
}
STARTED = RunStarted(**WHERE, model="m", model_provider="p")
CONTENT = RunContent(**WHERE, content="two\nlines")
CANCELLED = RunCancelled(**WHERE, content="two", reason="stopped")
RUN = RunOutput(
    run_id="r",
    session_id="s",
    agent_id="a",
    agent_name="A",
    status=RunStatus.RUNNING,
    created_at=1,
    input=RunInput("hi"),
)


async def events_of(log: EventLog) -> list[dict[str, Any]]:
    """What was written; each frame says its name and its index twice, and the same."""
    found = []
    async for piece in log.follow(idle_seconds=10):
        assert isinstance(piece, bytes)
        for each in piece.decode().split("\n\n")[:-1]:
            name, number, data = each.split("\n")
            event = json.loads(data.removeprefix("data: "))
            assert (name, number) == (f"event: {event['event']}", f"id: {event['event_index']}")
            found.append(event)
    return found


def test_a_frame_is_the_events_name_index_and_json_on_one_line() -> None:
    name, number, data, *rest = frame(CONTENT, 7).decode().split("\n")
    assert (name, number, rest) == ("event: RunContent", "id: 7", ["", ""])
    body = json.loads(data.removeprefix("data: "))
    assert (body["event"], body["content"], body["run_id"]) == ("RunContent", "two\nlines", "r")
    assert body["event_index"] == 7


@pytest.mark.parametrize(
    ("all_events", "expected"),
    [
        (True, ["RunStarted", "RunContent", "RunCancelled"]),
        (False, ["RunContent", "RunCancelled"]),
    ],
)
async def test_a_writer_numbers_what_it_takes(all_events: bool, expected: list[str]) -> None:  # noqa: FBT001 - a case
    log = EventLog()
    write = LogWriter(log, all_events=all_events)
    events: list[AgentEvent] = [STARTED, CONTENT, CANCELLED]
    for event in events:
        write(event)
    write.close(RUN)
    assert log.ended
    found = await events_of(log)
    assert [event["event"] for event in found] == expected
    assert [event["event_index"] for event in found] == list(range(len(expected)))


@pytest.mark.parametrize("told", [[], [STARTED], [STARTED, CONTENT]])
async def test_a_run_that_breaks_down_untold_has_an_end_all_the_same(
    told: list[AgentEvent],
) -> None:
    log = EventLog()
    write = LogWriter(log)
    for event in told:
        write(event)
    write.close(RUN)
    *_, last = await events_of(log)
    assert (last["event"], last["error_type"]) == ("RunError", "internal_error")
    assert (last["run_id"], last["event_index"]) == ("r", len(told))
