"""Durable runs over a real socket: how they are answered, and who may see them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from licet.agent import Agent
from licet.db.in_memory import InMemoryDb
from licet.db.sqlite import SqliteDb
from licet.os import AgentOS
from licet.testing import ScriptedModel
from tests.support.durable_place import DurablePlace, begun, post, wait_for
from tests.support.live import serve
from tests.support.streams import END, ends, frames, names, until, whole
from tests.support.world import OWNER, STRANGER, World


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> DurablePlace:
    return DurablePlace(tmp_path_factory.mktemp("durable"))


@pytest.fixture(scope="module")
def client(place: DurablePlace) -> Iterator[httpx.Client]:
    with place.served() as made:
        yield made


@pytest.fixture
def olga(place: DurablePlace) -> dict[str, str]:
    return place.bearer(OWNER)


def run_url(run_id: str, what: str = "", agent: str = "alpha") -> str:
    return f"/agents/{agent}/runs/{run_id}{what}"


class TestAnswers:
    def test_in_the_background_the_answer_is_that_it_was_stored(
        self, place: DurablePlace, client: httpx.Client, olga: dict[str, str]
    ) -> None:
        answer = post(client, olga, "hold stored one two", session_id="s1")
        run_id = begun(answer)
        assert answer.json() == {"run_id": run_id, "session_id": "s1", "status": "PENDING"}
        wait_for(lambda: place.status(run_id) == "RUNNING", "its turn")
        where = {"session_id": "s1"}
        running = client.get(run_url(run_id), params=where, headers=olga).json()
        assert (running["status"], "content" in running) == ("RUNNING", False)
        place.hold("stored").opened.set()
        assert place.ended(run_id).content == "one two"
        found = client.get(run_url(run_id), params=where, headers=olga).json()
        assert (found["status"], found["content"]) == ("COMPLETED", "one two")

    def test_a_stream_in_the_background_tells_every_event_in_order(
        self, place: DurablePlace, client: httpx.Client, olga: dict[str, str]
    ) -> None:
        answer = post(client, olga, "say one two", stream="true")
        assert answer.headers["content-type"].startswith("text/event-stream")
        told = whole(answer.text)
        assert names(told) == [
            "RunStarted",
            "ModelRequestStarted",
            "RunContent",
            "RunContent",
            "ModelRequestCompleted",
            "RunContentCompleted",
            "RunCompleted",
        ]
        assert [frame.index for frame in told] == list(range(len(told)))
        assert place.stored(told[0].data["run_id"]).content == "one two"

    def test_a_durable_agent_streams_without_being_asked_for_the_background(
        self, place: DurablePlace, client: httpx.Client, olga: dict[str, str]
    ) -> None:
        fields = {"background": "false", "stream": "true"}
        told = whole(post(client, olga, "say hello there", "beta", **fields).text)
        assert (told[-1].name, told[-1].data["content"]) == ("RunCompleted", "hello there")
        record = place.record(told[0].data["run_id"])
        assert record is not None
        assert record.durable

    def test_a_durable_agent_that_is_not_streamed_is_waited_for(
        self, place: DurablePlace, client: httpx.Client, olga: dict[str, str]
    ) -> None:
        answer = post(client, olga, "say hello there", "beta", background="false")
        assert (answer.status_code, answer.json()["content"]) == (200, "hello there")
        assert answer.json()["status"] == "COMPLETED"
        record = place.record(answer.json()["run_id"])
        assert record is not None
        assert record.durable

    def test_a_durable_agent_in_the_background_is_answered_at_once(
        self, place: DurablePlace, client: httpx.Client, olga: dict[str, str]
    ) -> None:
        run_id = begun(post(client, olga, "hold beta one two", "beta"))
        assert place.status(run_id) != "COMPLETED"
        place.hold("beta").opened.set()
        assert place.ended(run_id).status == "COMPLETED"

    def test_a_client_that_leaves_leaves_the_run_alone(
        self, place: DurablePlace, client: httpx.Client, olga: dict[str, str]
    ) -> None:
        form = {"message": "hold left one two", "stream": "true"}
        with client.stream("POST", "/agents/beta/runs", data=form, headers=olga) as answer:
            stream = frames(answer.iter_lines())
            run_id = until(stream, "RunContent")[-1].data["run_id"]
        place.hold("left").opened.set()
        assert place.ended(run_id).content == "one two"
        told = whole(client.get(run_url(run_id, "/events", "beta"), headers=olga).text)
        assert ends(told) == ["RunCompleted"]

    def test_tools_are_given_a_key_that_names_the_call(
        self, place: DurablePlace, client: httpx.Client, olga: dict[str, str]
    ) -> None:
        place.hold("key").opened.set()
        run_id = begun(post(client, olga, "work key"))
        (tool,) = place.ended(run_id).tools
        assert tool.result == f"worked {run_id}-0-0"

    def test_a_failed_run_is_an_answer_too(
        self, client: httpx.Client, olga: dict[str, str]
    ) -> None:
        answer = post(client, olga, "fail", "beta", background="false")
        assert (answer.status_code, answer.json()["status"]) == (200, "ERROR")
        assert answer.json()["content"] == "the provider is away"


class TestWithoutALastingDatabase:
    def test_background_is_refused(self) -> None:
        world = World()
        headers = world.bearer(OWNER, "agents:run")
        with serve(world.agent_os().get_app()) as live, httpx.Client(base_url=live.url) as client:
            for stream in ("true", "false"):
                answer = post(client, headers, "hi", stream=stream)
                assert answer.status_code == 400
                assert answer.json() == {
                    "detail": "Background execution requires a database to be configured on the "
                    "agent"
                }

    def test_a_durable_agent_does_not_start(self, caplog: pytest.LogCaptureFixture) -> None:
        agents = [Agent(id="beta", model=ScriptedModel([]), durable=True, db=InMemoryDb())]
        app = AgentOS(agents=agents, db=InMemoryDb()).get_app()
        with pytest.raises(RuntimeError, match="did not start"), serve(app):
            pass
        assert "agent 'beta' is durable, but its database (InMemoryDb) ends with" in caplog.text

    @pytest.mark.usefixtures("client")
    def test_a_second_server_of_one_process_says_that_it_has_none(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        world = World(db=SqliteDb(tmp_path / "second.db"))
        headers = world.bearer(OWNER, "agents:run")
        with serve(world.agent_os().get_app()) as live, httpx.Client(base_url=live.url) as second:
            answer = post(second, headers, "hi")
            assert answer.status_code == 503
            assert answer.json() == {"detail": "Durable runs are served by another process"}
            assert "retry-after" in answer.headers
            assert post(second, headers, "hi", background="false").status_code == 200
        assert "another AgentOS of this process has them already" in caplog.text


class TestSpareStreams:
    """``stream_events=false``."""

    def test_they_hold_the_text_and_the_end_under_their_own_indices(
        self, client: httpx.Client, olga: dict[str, str]
    ) -> None:
        fields = {"stream": "true", "stream_events": "false"}
        told = whole(post(client, olga, "say one two", **fields).text)
        assert names(told) == ["RunContent", "RunContent", "RunCompleted"]
        assert [frame.index for frame in told] == [2, 3, 6]

    def test_whoever_comes_back_goes_on_by_the_index(
        self, client: httpx.Client, olga: dict[str, str]
    ) -> None:
        fields = {"stream": "true", "stream_events": "false"}
        told = whole(post(client, olga, "say one two", "beta", **fields).text)
        url = run_url(told[0].data["run_id"], "/events", "beta")
        rest = client.get(url, headers={**olga, "Last-Event-ID": str(told[0].index)})
        assert [frame.index for frame in whole(rest.text)] == [3, 4, 5, 6]


class TestOrder:
    def test_the_runs_of_a_session_work_one_after_the_other_in_their_order(
        self, place: DurablePlace, client: httpx.Client, olga: dict[str, str]
    ) -> None:
        first = begun(post(client, olga, "hold order 0", session_id="ordered"))
        rest = [begun(post(client, olga, f"say {at}", session_id="ordered")) for at in range(1, 6)]
        beside = begun(post(client, olga, "say beside", session_id="another"))
        assert place.ended(beside).content == "beside"
        assert [place.status(run) for run in (first, *rest)] == ["RUNNING", *["PENDING"] * 5]
        place.hold("order").opened.set()
        ended = [place.ended(run) for run in (first, *rest)]
        assert [output.content for output in ended] == ["0", "1", "2", "3", "4", "5"]
        records = [place.record(run) for run in (first, *rest)]
        times = [record.updated_at_us for record in records if record is not None]
        assert times == sorted(times)


@dataclass(frozen=True)
class Call:
    """A request about one run."""

    method: str
    what: str = ""
    sent: dict[str, Any] = field(default_factory=dict)

    def ask(
        self, client: httpx.Client, headers: dict[str, str], run_id: str, agent: str = "alpha"
    ) -> httpx.Response:
        """Send it."""
        url = run_url(run_id, self.what, agent)
        return client.request(self.method, url, headers=headers, **self.sent)


CALLS = (
    Call("GET", "", {"params": {"session_id": "private"}}),
    Call("GET", "/events"),
    Call("POST", "/resume", {"data": {"session_id": "private"}}),
    Call("POST", "/cancel"),
)


class TestIsolation:
    """Of everybody else a durable run is as if it did not exist, whatever state it is in."""

    @pytest.fixture
    def run_id(
        self, place: DurablePlace, client: httpx.Client, olga: dict[str, str]
    ) -> Iterator[str]:
        run_id = begun(post(client, olga, "hold private her secret", session_id="private"))
        wait_for(lambda: place.status(run_id) == "RUNNING", "its turn")
        yield run_id
        place.hold("private").opened.set()
        place.ended(run_id)
        del place.holds["private"]

    @pytest.mark.parametrize("call", CALLS)
    def test_nobody_else_can_see_or_stop_it(
        self, place: DurablePlace, client: httpx.Client, run_id: str, call: Call
    ) -> None:
        sten = place.bearer(STRANGER)
        foreign, unknown = (call.ask(client, sten, which) for which in (run_id, "unknown"))
        assert (foreign.status_code, foreign.text) == (unknown.status_code, unknown.text)
        assert foreign.status_code == 404
        assert place.status(run_id) == "RUNNING"

    def test_of_another_agent_there_is_none_either(
        self, client: httpx.Client, olga: dict[str, str], run_id: str
    ) -> None:
        for call in CALLS:
            assert call.ask(client, olga, run_id, "beta").status_code == 404

    def test_one_session_id_of_two_owners_is_two_sessions(
        self, place: DurablePlace, client: httpx.Client, run_id: str
    ) -> None:
        sten = place.bearer(STRANGER)
        # It does not wait for hers, and knows nothing of it.
        theirs = begun(post(client, sten, "say mine", session_id="private"))
        assert place.ended(theirs).content == "mine"
        assert place.status(run_id) == "RUNNING"

    def test_its_owner_and_the_administrator_can(
        self, place: DurablePlace, client: httpx.Client, olga: dict[str, str], run_id: str
    ) -> None:
        for headers in (olga, place.world.admin()):
            found = client.get(
                run_url(run_id),
                params={"session_id": "private", "user_id": OWNER},
                headers=headers,
            )
            assert (found.status_code, found.json()["run_id"]) == (200, run_id)
        assert client.post(run_url(run_id, "/cancel"), headers=olga).status_code == 200
        assert place.ended(run_id).cancellation_reason == "cancelled by olga"


class TestCancel:
    def test_one_that_waits_never_begins_and_whoever_reads_is_told(
        self, place: DurablePlace, client: httpx.Client, olga: dict[str, str]
    ) -> None:
        first = begun(post(client, olga, "hold queue one two", session_id="queue"))
        waiting = begun(post(client, olga, "say never", session_id="queue"))
        with ThreadPoolExecutor(1) as pool:
            read = pool.submit(client.get, run_url(waiting, "/events"), headers=olga)
            assert client.post(run_url(waiting, "/cancel"), headers=olga).status_code == 200
            assert ends(whole(read.result().text)) == ["RunCancelled"]
        assert place.stored(waiting).status == "CANCELLED"
        again = client.post(run_url(waiting, "/cancel"), headers=olga)
        assert (again.status_code, again.json()["detail"]) == (
            409,
            "The run has ended already: CANCELLED",
        )
        place.hold("queue").opened.set()
        assert place.ended(first).status == "COMPLETED"
        assert place.asked["say never"] == 0

    def test_a_call_in_flight_is_broken_off(
        self, place: DurablePlace, client: httpx.Client, olga: dict[str, str]
    ) -> None:
        for message in ("hold flight one two", "work flight"):
            form = {"message": message, "background": "true"}
            with client.stream("POST", "/agents/alpha/runs", data=form, headers=olga) as answer:
                stream = frames(answer.iter_lines())
                name = "RunContent" if message.startswith("hold") else "ToolCallStarted"
                run_id = until(stream, name)[-1].data["run_id"]
                assert client.post(run_url(run_id, "/cancel"), headers=olga).status_code == 200
                last = list(stream)[-1]
            assert (last.name, last.data["reason"]) == ("RunCancelled", "cancelled by olga")
            assert place.stored(run_id).status == "CANCELLED"


class TestDeletedSessions:
    def test_a_run_that_works_is_told_as_deleted_and_leaves_nothing(
        self, place: DurablePlace, client: httpx.Client, olga: dict[str, str]
    ) -> None:
        form = {"message": "hold gone one two", "background": "true", "session_id": "gone"}
        with client.stream("POST", "/agents/alpha/runs", data=form, headers=olga) as answer:
            stream = frames(answer.iter_lines())
            run_id = until(stream, "RunContent")[-1].data["run_id"]
            assert client.delete("/sessions/gone", headers=olga).status_code == 204
            place.hold("gone").opened.set()
            assert len([frame for frame in stream if frame.name in END]) == 1
        assert place.record(run_id) is None
        for what in ("", "/events"):
            found = client.get(run_url(run_id, what), params={"session_id": "gone"}, headers=olga)
            assert found.status_code == 404

    def test_one_that_waits_never_begins_and_whoever_reads_is_told(
        self, place: DurablePlace, client: httpx.Client, olga: dict[str, str]
    ) -> None:
        begun(post(client, olga, "hold gone2 one two", session_id="gone2"))
        waiting = begun(post(client, olga, "say never again", session_id="gone2"))
        with ThreadPoolExecutor(1) as pool:
            read = pool.submit(client.get, run_url(waiting, "/events"), headers=olga)
            wait_for(read.running, "the reader")
            assert client.delete("/sessions/gone2", headers=olga).status_code == 204
            answer = read.result()
        # Whoever came a moment too late finds nothing.
        assert answer.status_code == 404 or ends(whole(answer.text)) == ["RunError"]
        place.hold("gone2").opened.set()
        after = begun(post(client, olga, "say after", session_id="gone2"))
        assert place.ended(after).content == "after"
        assert place.asked["say never again"] == 0


async def test_an_app_that_is_served_without_its_lifespan_accepts_no_durable_run(
    tmp_path: Path,
) -> None:
    world = World(db=SqliteDb(tmp_path / "licet.db"))
    app = world.agent_os().get_app()
    transport = httpx.ASGITransport(app=app)
    form = {"message": "hi", "background": "true"}
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        refused = await client.post("/agents/alpha/runs", data=form, headers=world.admin())
    assert refused.status_code == 503
    assert await world.db.work().waiting() == 0
    await app.state.agent_os.auditing.close()
    await world.db.close()
