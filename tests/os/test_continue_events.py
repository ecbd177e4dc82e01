"""The events of a run that pauses: one sequence over its legs, wherever somebody comes in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.streams import Frame, names, whole
from tests.support.waiting_place import At, Paused, PausePlace

YES = {"confirmed": True}
BOTH = pytest.mark.parametrize("agent", ["alpha", "beta"])


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[At]:
    with PausePlace(tmp_path_factory.mktemp("pauses")).served() as made:
        yield made


@pytest.fixture
def at(served: At) -> At:
    served.made()
    return served


def streamed(at: At, message: str, agent: str, **fields: str) -> tuple[Paused, list[Frame]]:
    """A run that pauses, and what was told of it."""
    form = {"message": message, **fields}
    answer = at.client.post(f"/agents/{agent}/runs", data=form, headers=at.olga)
    told = whole(answer.text)
    assert told[-1].name == "RunPaused", answer.text
    return Paused(told[-1].data, agent), told


def continued(at: At, run: Paused, **fields: str) -> list[Frame]:
    """What is told of a run when its last call is confirmed."""
    form: dict[str, Any] = {"stream": "true", **fields}
    answer = at.go_on(run, run.saying(**YES), **form)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    return whole(answer.text)


def indices(told: list[Frame]) -> list[int | None]:
    return [frame.index for frame in told]


@BOTH
class TestOneSequence:
    def test_a_pause_tells_what_waits_and_ends_the_stream(self, at: At, agent: str) -> None:
        _, told = streamed(at, "look 1 + pay 3", agent)
        assert names(told) == [
            "RunStarted",
            "ModelRequestStarted",
            "ModelRequestCompleted",
            "ToolCallStarted",
            "ToolCallCompleted",
            "RunContentCompleted",
            "RunPaused",
        ]
        (tool,), (asked,) = told[-1].data["tools"], told[-1].data["requirements"]
        assert (tool["tool_name"], tool["tool_args"]) == ("pay", {"amount": 3})
        assert (asked["tool_execution"], asked["id"]) == (tool, tool["tool_call_id"])

    def test_the_indices_go_on_over_the_legs(self, at: At, agent: str) -> None:
        run, told = streamed(at, "pay 1 | pay 2", agent)
        second = continued(at, run)
        third = continued(at, Paused(second[-1].data, agent))
        assert (second[0].name, second[-1].name) == ("RunContinued", "RunPaused")
        assert (third[0].name, third[-1].name) == ("RunContinued", "RunCompleted")
        everything = [*told, *second, *third]
        assert indices(everything) == list(range(len(everything)))
        assert at.told(run) == everything

    def test_whoever_comes_back_reads_on_over_a_pause(self, at: At, agent: str) -> None:
        run, told = streamed(at, "pay 1", agent)
        second = continued(at, run)
        everything = [*told, *second]
        for seen in (0, len(told) - 1, len(told)):
            assert at.told(run, **{"Last-Event-ID": str(seen)}) == everything[seen + 1 :]
        ended = at.client.get(
            run.url("/events"), headers={**at.olga, "Last-Event-ID": str(len(everything) - 1)}
        )
        assert ended.status_code == 204

    def test_while_it_waits_its_events_end_with_the_pause(self, at: At, agent: str) -> None:
        run, told = streamed(at, "pay 1", agent)
        assert at.told(run) == told
        seen = {**at.olga, "Last-Event-ID": str(len(told) - 1)}
        assert at.client.get(run.url("/events"), headers=seen).status_code == 204

    def test_spare_streams_have_the_pause_and_the_end(self, at: At, agent: str) -> None:
        run, told = streamed(at, "pay 1 | pay 2", agent, stream_events="false")
        assert names(told) == ["RunPaused"]
        second = continued(at, run, stream_events="false")
        assert names(second) == ["RunPaused"]
        third = continued(at, Paused(second[-1].data, agent), stream_events="false")
        assert names(third) == ["RunContent", "RunCompleted"]
        found = [frame.index or 0 for frame in [*told, *second, *third]]
        assert found == sorted(set(found))

    def test_a_leg_that_nobody_streamed_is_no_secret(self, at: At, agent: str) -> None:
        run, _ = streamed(at, "pay 1 | pay 2", agent)
        second = Paused(at.went_on(run, run.saying(**YES)), agent)
        told = at.told(second)
        (waiting,) = told[-1].data["tools"]
        assert (told[-1].name, waiting["tool_args"]) == ("RunPaused", {"amount": 2})
        third = continued(at, second)
        assert (third[0].name, third[-1].name) == ("RunContinued", "RunCompleted")
        assert at.told(run)[-1].data["content"] == "done"

    def test_a_leg_is_streamed_where_the_first_was_not(self, at: At, agent: str) -> None:
        run = at.begin("pay 1", agent)
        told = continued(at, run)
        assert names(told)[0] == "RunContinued"
        assert names(told)[-1] == "RunCompleted"
        # By nobody's count a later event stands before an earlier one.
        assert indices(told) == sorted(indices(told), key=lambda index: index or 0)

    def test_a_rejected_call_is_told_as_no_call(self, at: At, agent: str) -> None:
        run, _ = streamed(at, "pay 1", agent)
        answer = at.go_on(run, run.saying(confirmed=False), stream="true")
        assert names(whole(answer.text)) == [
            "RunContinued",
            "ModelRequestStarted",
            "RunContent",
            "ModelRequestCompleted",
            "RunContentCompleted",
            "RunCompleted",
        ]


@BOTH
class TestResume:
    def resume(self, at: At, run: Paused, **fields: int) -> list[Frame]:
        answer = at.client.post(run.url("/resume"), data=fields, headers=at.olga)
        assert answer.status_code == 200, answer.text
        return whole(answer.text)

    def test_of_a_run_that_waits_it_is_a_replay_up_to_the_pause(self, at: At, agent: str) -> None:
        run, told = streamed(at, "pay 1", agent)
        notice, *rest = self.resume(at, run)
        assert (notice.name, notice.data["status"]) == ("replay", "PAUSED")
        assert (notice.data["total_events"], rest) == (len(told), told)
        notice, *rest = self.resume(at, run, last_event_index=2)
        assert (notice.data["total_events"], rest) == (len(told) - 3, told[3:])

    def test_of_a_run_that_went_on_it_is_both_legs(self, at: At, agent: str) -> None:
        run, told = streamed(at, "pay 1", agent)
        told += continued(at, run)
        notice, *rest = self.resume(at, run, last_event_index=1)
        assert (notice.name, notice.data["status"]) == ("replay", "COMPLETED")
        assert rest == told[2:]

    def test_of_a_run_that_was_cancelled_while_it_waited_it_says_so(
        self, at: At, agent: str
    ) -> None:
        run, told = streamed(at, "pay 1", agent)
        assert at.client.post(run.url("/cancel"), headers=at.olga).status_code == 200
        notice, *rest = self.resume(at, run)
        assert (notice.name, notice.data["status"]) == ("replay", "CANCELLED")
        assert (rest[0].name, rest[-1].name) == ("RunStarted", "RunCancelled")
        assert rest[-1].data["reason"] == "cancelled by olga"
        assert names(rest).count("RunCancelled") == 1
        seen = at.told(run, **{"Last-Event-ID": str(len(told) - 1)})
        assert seen[-1].name == "RunCancelled"


class TestInTheBackground:
    def test_it_is_answered_at_once_and_goes_on(self, at: At) -> None:
        for agent in ("alpha", "beta"):
            run, told = streamed(at, "pay 1", agent)
            answer = at.go_on(run, run.saying(**YES), background="true")
            assert (answer.status_code, answer.json()) == (
                202,
                {"run_id": run.run_id, "session_id": run.json["session_id"], "status": "PENDING"},
            )
            rest = at.told(run, **{"Last-Event-ID": str(len(told) - 1)})
            assert (rest[0].name, rest[-1].name) == ("RunContinued", "RunCompleted")
            assert rest[0].index == len(told)
            assert at.made() == ["pay 1"]
            assert at.place.record(run.run_id).durable

    def test_it_is_streamed_from_where_it_goes_on(self, at: At) -> None:
        for agent in ("alpha", "beta"):
            run, told = streamed(at, "pay 1 | pay 2", agent)
            second = continued(at, run, background="true")
            assert (second[0].name, second[0].index) == ("RunContinued", len(told))
            third = continued(at, Paused(second[-1].data, agent), background="true")
            assert third[-1].name == "RunCompleted"
            everything = [*told, *second, *third]
            assert indices(everything) == list(range(len(everything)))
            assert at.told(run) == everything
