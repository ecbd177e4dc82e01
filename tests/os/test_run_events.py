"""Following a run from any place on: over a real socket, while it works and when it has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any, cast
from unittest.mock import Mock

import httpx
import pytest

from licet.agent import Agent
from licet.authn.principal import owner_key
from licet.db.base import Access, Db, Store
from licet.db.in_memory import InMemoryDb
from licet.db.records import RunRecord, RunStatus, SessionKey
from licet.models.base import ModelRequest
from licet.os import Settings
from licet.testing import CallTools, Fail, Say, ScriptedModel
from licet.testing.scripted import Turn
from tests.support.live import LiveServer, serve
from tests.support.streams import Frame, Hold, ends, frames, names, until, whole
from tests.support.world import OWNER, STRANGER, World

MANY = 10_500
STREAMED = [
    "RunStarted",
    "ModelRequestStarted",
    "RunContent",
    "RunContent",
    "RunContent",
    "ModelRequestCompleted",
    "RunContentCompleted",
    "RunCompleted",
]


def double(n: int) -> int:
    """Double a number."""
    return 2 * n


class Place:
    """A served world in which what is asked decides what the model does. ``hold`` holds it back."""

    def __init__(self, db: Db | None = None, **given: Any) -> None:
        self.hold = Hold()
        self.world = World(db=db or InMemoryDb(), model=ScriptedModel(self._answer))
        self.world.agents = [
            Agent(id=name, model=self.world.model, tools=[double]) for name in ("alpha", "beta")
        ]
        self._given = given

    def _answer(self, request: ModelRequest) -> Turn:
        said = request.messages[-1]
        if said.role == "tool":
            return Say("It is 42.")
        turns: dict[str | None, Turn] = {
            "wait": Say("one two three", hold=self.hold, hold_after=1),
            "many": Say("x " * MANY, pieces=["x "] * MANY),
            "double": CallTools(("double", {"n": 21})),
            "fail": Fail(RuntimeError("no")),
        }
        return turns.get(said.content, Say("one two three"))

    @contextmanager
    def served(self) -> Iterator[Client]:
        """A client of Olga's, whose server stops with the block."""
        with serve(self.world.agent_os(**self._given).get_app()) as server:
            client = Client(server, self.world.bearer(OWNER, "agents:run", "sessions:delete"))
            try:
                yield client
            finally:
                self.hold.opened.set()
                client.close()


class Client:
    """Somebody with a token."""

    def __init__(self, server: LiveServer, headers: dict[str, str]) -> None:
        self.server = server
        self.http = httpx.Client(base_url=server.url, headers=headers, timeout=20)
        self._others: list[Client] = []

    def other(self, headers: dict[str, str]) -> Client:
        """Somebody else, who leaves with this one."""
        self._others.append(Client(self.server, headers))
        return self._others[-1]

    def close(self) -> None:
        """Leave."""
        for other in self._others:
            other.close()
        self.http.close()

    def run(self, message: str, *, agent: str = "alpha", **fields: Any) -> list[Frame]:
        """A streamed run, from its beginning to its end."""
        fields = {"message": message, "session_id": "s", **fields}
        return whole(self.http.post(f"/agents/{agent}/runs", data=fields).text)

    @contextmanager
    def running(self, message: str = "wait") -> Iterator[Running]:
        """A streamed run of which the first piece of the answer was read."""
        fields = {"message": message, "session_id": "s"}
        with self.http.stream("POST", "/agents/alpha/runs", data=fields) as answer:
            stream = frames(answer.iter_lines())
            seen = until(stream, "RunContent")
            yield Running(seen[0].data["run_id"], seen, stream)

    def get(self, run_id: str, last_event_id: str | None = None, **params: Any) -> httpx.Response:
        """The events, as a browser asks for them."""
        headers = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
        path = f"/agents/alpha/runs/{run_id}/events"
        return self.http.get(path, params=params, headers=headers)

    def resume(self, run_id: str, *, agent: str = "alpha", **fields: Any) -> httpx.Response:
        """The events and notices, when the run has ended."""
        return self.http.post(f"/agents/{agent}/runs/{run_id}/resume", data=fields)

    @contextmanager
    def resuming(self, run_id: str, **fields: Any) -> Iterator[Iterator[Frame]]:
        """The same, as it comes."""
        path = f"/agents/alpha/runs/{run_id}/resume"
        with self.http.stream("POST", path, data=fields) as answer:
            assert answer.status_code == 200
            yield frames(answer.iter_lines())


class Running:
    """A run that works: its id, what its first client has seen, and what that goes on to see."""

    def __init__(self, run_id: str, seen: list[Frame], stream: Iterator[Frame]) -> None:
        self.id = run_id
        self.seen = seen
        self.stream = stream


@pytest.fixture(scope="module")
def place() -> Place:
    return Place()


@pytest.fixture(scope="module")
def olga(place: Place) -> Iterator[Client]:
    with place.served() as client:
        yield client


@pytest.fixture
def fresh(place: Place) -> Iterator[Place]:
    """The place with a model that holds back anew."""
    place.hold = Hold()
    yield place
    place.hold.opened.set()


class TestARunThatWorks:
    def test_what_was_missed_and_then_what_comes(self, fresh: Place, olga: Client) -> None:
        with olga.running() as run:
            pass
        with olga.resuming(run.id, last_event_index="0", session_id="s") as stream:
            caught_up = until(stream, "subscribed")
            assert names(caught_up) == [
                "catch_up",
                "ModelRequestStarted",
                "RunContent",
                "subscribed",
            ]
            first, last = caught_up[0].data, caught_up[-1].data
            assert (first["run_id"], first["status"]) == (run.id, "running")
            assert (first["missed_events"], first["current_event_count"]) == (2, 3)
            assert (last["status"], last["current_event_count"]) == ("running", 3)
            fresh.hold.opened.set()
            rest = list(stream)
        assert [frame.index for frame in caught_up[1:3] + rest] == list(range(1, 8))
        assert names(rest) == STREAMED[3:]
        assert rest[-1].data["content"] == "one two three"

    def test_whoever_missed_nothing_is_only_subscribed(self, fresh: Place, olga: Client) -> None:
        with olga.running() as run:
            seen = run.seen[-1].index
        for index in (seen, 5, 1_000_000):
            with olga.resuming(run.id, last_event_index=str(index)) as stream:
                assert next(stream).name == "subscribed"
        with olga.resuming(run.id, last_event_index="900") as stream:
            fresh.hold.opened.set()
            assert names(stream) == ["subscribed", *STREAMED[3:]]

    def test_many_follow_at_once_and_see_the_same(self, fresh: Place, olga: Client) -> None:
        with olga.running() as run, ExitStack() as stack:
            streams = [stack.enter_context(olga.resuming(run.id)) for _ in range(3)]
            begun = [until(stream, "subscribed") for stream in streams]
            fresh.hold.opened.set()
            first = run.seen + list(run.stream)
            for seen, stream in zip(begun, streams, strict=True):
                assert [f for f in seen + list(stream) if f.index is not None] == first

    def test_events_alone_for_whoever_asks_as_browsers_do(self, fresh: Place, olga: Client) -> None:
        with olga.running() as run:
            pass
        path = f"/agents/alpha/runs/{run.id}/events"
        with olga.http.stream("GET", path, headers={"Last-Event-ID": "1"}) as answer:
            stream = frames(answer.iter_lines())
            assert (next(stream).index, answer.status_code) == (2, 200)
            assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
            fresh.hold.opened.set()
            assert names(stream) == STREAMED[3:]

    def test_readers_who_leave_do_not_stop_it(self, fresh: Place, olga: Client) -> None:
        with olga.running() as run:
            pass
        for _ in range(3):
            with olga.resuming(run.id) as stream:
                next(stream)
        fresh.hold.opened.set()
        assert ends(whole(olga.resume(run.id).text)) == ["RunCompleted"]

    def test_silence_is_filled_with_comments(self) -> None:
        place = Place(settings=Settings(ping_seconds=0.01))
        with place.served() as client, client.running() as run:
            for what, method in (("events", "GET"), ("resume", "POST")):
                path = f"/agents/alpha/runs/{run.id}/{what}"
                with client.http.stream(method, path) as answer:
                    pings = 0
                    for line in answer.iter_lines():
                        pings += line == ": ping"
                        if pings == 3:
                            break


class TestARunThatHasEnded:
    def test_its_events_can_be_had_again_as_they_were(self, olga: Client) -> None:
        told = olga.run("hi")
        run_id = told[0].data["run_id"]
        first, *replayed = whole(olga.resume(run_id, last_event_index="3").text)
        assert replayed == told[4:]
        assert first.name == "replay"
        assert {k: v for k, v in first.data.items() if k not in {"event", "message"}} == {
            "run_id": run_id,
            "status": "COMPLETED",
            "total_events": 4,
            "total_buffered": 8,
            "last_event_index_requested": 3,
        }
        first, *replayed = whole(olga.resume(run_id).text)
        assert replayed == told
        assert first.data["last_event_index_requested"] == -1
        assert whole(olga.get(run_id).text) == told
        assert whole(olga.get(run_id, "3").text) == told[4:]

    def test_indices_are_in_every_event(self, olga: Client) -> None:
        told = olga.run("hi")
        assert names(told) == STREAMED
        assert [frame.data["event_index"] for frame in told] == list(range(8))

    def test_what_was_streamed_in_part_is_told_again_in_part(self, olga: Client) -> None:
        told = olga.run("hi", stream_events="false")
        assert whole(olga.get(told[0].data["run_id"]).text) == told
        assert set(names(told)) == {"RunContent", "RunCompleted"}

    def test_who_has_seen_all_asks_no_more(self, olga: Client) -> None:
        told = olga.run("hi")
        run_id = told[0].data["run_id"]
        answer = olga.get(run_id, "7")
        assert (answer.status_code, answer.content) == (204, b"")
        (only,) = whole(olga.resume(run_id, last_event_index="7").text)
        assert (only.name, only.data["total_events"]) == ("replay", 0)

    def test_who_names_an_index_that_there_never_was_still_hears_how_it_ended(
        self, olga: Client
    ) -> None:
        run_id = olga.run("hi")[0].data["run_id"]
        assert names(whole(olga.get(run_id, "8").text)) == ["RunCompleted"]
        found = whole(olga.resume(run_id, last_event_index="1000").text)
        assert names(found) == ["replay", "RunCompleted"]
        assert found[0].data["total_events"] == 1

    def test_the_header_goes_before_the_parameter(self, olga: Client) -> None:
        run_id = olga.run("hi")[0].data["run_id"]
        assert whole(olga.get(run_id, "5", last_event_index="1").text)[0].index == 6
        assert whole(olga.get(run_id, last_event_index="1").text)[0].index == 2
        assert whole(olga.get(run_id, "", last_event_index="1").text)[0].index == 2
        assert whole(olga.get(run_id, "-1").text)[0].index == 0

    @pytest.mark.parametrize("how", ["urlencoded", "multipart", "json", "nothing"])
    def test_forms_and_json_are_the_same(self, olga: Client, how: str) -> None:
        run_id = olga.run("hi")[0].data["run_id"]
        ways: dict[str, Any] = {
            "urlencoded": {"data": {"last_event_index": "3", "session_id": "s"}},
            "multipart": {"files": {"last_event_index": (None, "3"), "session_id": (None, "s")}},
            "json": {"json": {"last_event_index": 3, "session_id": "s"}},
            "nothing": {},
        }
        answer = olga.http.post(f"/agents/alpha/runs/{run_id}/resume", **ways[how])
        assert answer.status_code == 200
        found = whole(answer.text)
        assert found[1].index == (0 if how == "nothing" else 4)

    def test_the_oldest_of_too_many_events_are_gone_and_it_is_said_which(
        self, olga: Client
    ) -> None:
        run_id = olga.run("many", stream_events="false")[0].data["run_id"]
        gone = MANY + 1 - 10_000
        replay, dropped, *kept = whole(olga.resume(run_id).text)
        assert (replay.data["total_events"], replay.data["total_buffered"]) == (10_000, 10_000)
        assert (dropped.name, dropped.index) == ("events_dropped", None)
        assert dropped.data == {
            "event": "events_dropped",
            "run_id": run_id,
            "first_missed_index": 0,
            "missed_events": gone,
        }
        assert [frame.index for frame in kept] == list(range(gone, MANY + 1))
        assert ends(kept) == ["RunCompleted"]
        dropped, *kept = whole(olga.get(run_id, "99").text)
        assert dropped.data["first_missed_index"] == 100
        assert kept[0].index == gone


class LateDb(InMemoryDb):
    """Finds a run as it was a moment ago."""

    def store(self, access: Access) -> Store:
        store = super().store(access)
        find_now = store.find_run

        async def find_run(run_id: str) -> RunRecord | None:
            run = await find_now(run_id)
            return None if run is None else replace(run, status=RunStatus.RUNNING)

        late = Mock(wraps=store)
        late.find_run = find_run
        return cast("Store", late)


def test_a_run_that_ends_while_it_is_looked_for_is_told_as_it_ended() -> None:
    with Place(db=LateDb()).served() as client:
        run_id = client.run("hi")[0].data["run_id"]
        replay = whole(client.resume(run_id).text)[0]
    assert (replay.name, replay.data["status"]) == ("replay", "COMPLETED")


class TestARunThatWasNotStreamedHere:
    def test_it_is_told_from_what_is_stored(self, olga: Client) -> None:
        fields = {"message": "double", "session_id": "s", "stream": "false"}
        run_id = olga.http.post("/agents/alpha/runs", data=fields).json()["run_id"]
        first, *events = whole(olga.resume(run_id, last_event_index="2").text)
        assert (first.name, first.data["status"]) == ("replay", "COMPLETED")
        assert first.data["total_events"] == len(events) == 5
        assert "total_buffered" not in first.data
        assert names(events) == [
            "RunStarted",
            "ToolCallStarted",
            "ToolCallCompleted",
            "RunContentCompleted",
            "RunCompleted",
        ]
        assert [frame.index for frame in events] == list(range(5))
        assert events[-1].data["content"] == "It is 42."
        assert whole(olga.get(run_id, "4").text) == events

    @pytest.mark.parametrize(("message", "end"), [("hi", "RunCompleted"), ("fail", "RunError")])
    def test_so_is_one_whose_events_are_kept_no_longer(self, message: str, end: str) -> None:
        place = Place(settings=Settings(events_kept_seconds=0))
        with place.served() as client:
            told = client.run(message)
            replayed = whole(client.get(told[0].data["run_id"]).text)
        assert ends(replayed) == ends(told) == [end]
        assert replayed[-1].data["content"] == told[-1].data["content"]
        assert len(replayed) < len(told)

    def test_one_that_works_elsewhere_is_waited_for(self, fresh: Place, olga: Client) -> None:
        other = Place(db=fresh.world.db)
        other.world.tokens = fresh.world.tokens
        with other.served() as elsewhere, olga.running() as run:
            with elsewhere.resuming(run.id, last_event_index="2") as stream:
                begun = until(stream, "subscribed")
                assert names(begun) == ["replay", "RunStarted", "subscribed"]
                assert (begun[0].data["status"], begun[0].data["total_events"]) == ("RUNNING", 1)
                assert begun[-1].data["status"] == "running"
                fresh.hold.opened.set()
                assert names(stream) == ["RunContentCompleted", "RunCompleted"]
            assert names(whole(elsewhere.get(run.id).text)) == [
                "RunStarted",
                "RunContentCompleted",
                "RunCompleted",
            ]

    def test_one_that_is_deleted_meanwhile_ends_too(self, fresh: Place, olga: Client) -> None:
        other = Place(db=fresh.world.db)
        other.world.tokens = fresh.world.tokens
        with (
            other.served() as elsewhere,
            olga.running() as run,
            elsewhere.resuming(run.id) as stream,
        ):
            until(stream, "subscribed")
            assert olga.http.delete("/sessions/s").status_code == 204
            (last,) = stream
        assert (last.name, last.data["error_type"]) == ("RunError", "deleted")


class TestWhose:
    def test_only_runs_that_the_caller_reaches_are_there(self, place: Place, olga: Client) -> None:
        run_id = olga.run("hi")[0].data["run_id"]
        strangers = olga.other(place.world.bearer(STRANGER, "agents:run"))
        admin = olga.other(place.world.admin())
        for what in ("resume", "cancel", "events"):
            method = "GET" if what == "events" else "POST"
            for who, agent, which, params in (
                (strangers, "alpha", run_id, {}),
                (strangers, "alpha", run_id, {"session_id": "s"}),
                (strangers, "alpha", "unknown", {}),
                (olga, "beta", run_id, {}),
                (olga, "alpha", "unknown", {}),
                (olga, "alpha", run_id, {"session_id": "another"}),
                (admin, "alpha", run_id, {"session_id": "another"}),
            ):
                path = f"/agents/{agent}/runs/{which}/{what}"
                sent: Any = {"data": params} if what == "resume" else {"params": params}
                answer = who.http.request(method, path, **sent)
                assert (answer.status_code, answer.json()) == (404, {"detail": "Run not found"})
            path = f"/agents/nobody/runs/{run_id}/{what}"
            assert olga.http.request(method, path).json() == {"detail": "Agent not found"}
        assert ends(whole(admin.resume(run_id, session_id="s").text)) == ["RunCompleted"]
        assert ends(whole(admin.get(run_id).text)) == ["RunCompleted"]

    def test_an_empty_session_counts_as_none(self, olga: Client) -> None:
        run_id = olga.run("hi")[0].data["run_id"]
        assert olga.resume(run_id, session_id="").status_code == 200
        assert olga.get(run_id, session_id="").status_code == 200

    def test_a_scope_for_another_agent_is_not_enough(self, place: Place, olga: Client) -> None:
        run_id = olga.run("hi")[0].data["run_id"]
        other = olga.other(place.world.bearer(OWNER, "agents:beta:run"))
        this = olga.other(place.world.bearer(OWNER, "agents:alpha:run"))
        assert (other.get(run_id).status_code, this.get(run_id).status_code) == (403, 200)


class TestBadInput:
    @pytest.mark.parametrize(
        "index", ["x", "1.0", "1e3", "-2", "0x1", "--1", "²", "9" * 16, "[1]", "true", " 1"]
    )
    def test_junk_is_no_index(self, olga: Client, index: str) -> None:
        run_id = olga.run("hi")[0].data["run_id"]
        answers = {
            "body": olga.resume(run_id, last_event_index=index),
            "query": olga.get(run_id, last_event_index=index),
        }
        for place, answer in answers.items():
            assert answer.status_code == 422
            (problem,) = answer.json()["detail"]
            assert problem["loc"] == [place, "last_event_index"]
            assert "index of an event" in problem["msg"]

    @pytest.mark.parametrize("index", ["x", "1.5", "-2", "9" * 400])
    def test_junk_in_the_header_is_none_either(self, olga: Client, index: str) -> None:
        answer = olga.get(olga.run("hi")[0].data["run_id"], index)
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["loc"] == ["header", "last-event-id"]

    @pytest.mark.parametrize("index", [True, 1.5, [], {}, -2, 10**16, 10**30])
    def test_junk_in_json_is_none_either(self, olga: Client, index: Any) -> None:
        path = f"/agents/alpha/runs/{olga.run('hi')[0].data['run_id']}/resume"
        answer = olga.http.post(path, json={"last_event_index": index})
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["loc"] == ["body", "last_event_index"]

    @pytest.mark.parametrize("session_id", [5, 0, False, [], {}, "a\0b", "a" * 300])
    def test_junk_is_no_session(self, olga: Client, session_id: Any) -> None:
        path = f"/agents/alpha/runs/{olga.run('hi')[0].data['run_id']}/resume"
        answer = olga.http.post(path, json={"session_id": session_id})
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["loc"] == ["body", "session_id"]

    def test_a_bad_body_is_named(self, olga: Client) -> None:
        path = "/agents/alpha/runs/r/resume"
        for body in (b"{", b"[]"):
            headers = {"content-type": "application/json"}
            assert olga.http.post(path, content=body, headers=headers).status_code == 422


async def test_what_is_told_is_what_is_stored(fresh: Place, olga: Client) -> None:
    told = await asyncio.to_thread(olga.run, "hi")
    owner = owner_key("default", OWNER)
    store = fresh.world.db.store(Access(owner))
    run = await store.get_run(SessionKey(owner, "s"), told[0].data["run_id"])
    assert run is not None
    assert told[-1].data["content"].encode() in run.body
