"""What comes of schedules that are fired, over a real socket."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from licet.agent.output import RunOutput
from licet.db.records import SessionKey
from tests.contract.schedule_rows import schedule
from tests.support.durable_place import wait_for
from tests.support.schedule_place import EVERYBODY, SchedulePlace, owner, served_schedules
from tests.support.world import OWNER, STRANGER

KEYS = {
    *("id", "schedule_id", "user_id", "attempt", "triggered_at", "completed_at", "status"),
    *("status_code", "run_id", "session_id", "error", "input", "output", "requirements"),
    "created_at",
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SchedulePlace]:
    with served_schedules(tmp_path_factory.mktemp("firing")) as place:
        yield place


@pytest.fixture
def at(served: SchedulePlace) -> Iterator[SchedulePlace]:
    served.clear()
    yield served
    served.place.open_all()


def run_of(at: SchedulePlace, came: dict[str, Any]) -> RunOutput:
    return at.place.ended(came["run_id"])


def test_a_trigger_is_answered_with_what_came_of_it(at: SchedulePlace) -> None:
    schedule_id, before = at.made("say hello"), int(time.time())
    came = at.trigger(schedule_id)
    assert set(came) == KEYS
    assert (came["schedule_id"], came["user_id"], came["attempt"]) == (schedule_id, OWNER, 1)
    assert (came["status"], came["status_code"], came["error"]) == ("success", 200, None)
    assert before <= came["triggered_at"] <= came["completed_at"] <= time.time()
    run = run_of(at, came)
    assert (run.status, run.content, run.session_id) == ("COMPLETED", "hello", came["session_id"])
    assert (run.user_id, run.request_id) == (OWNER, came["id"])
    assert at.runs(schedule_id) == [came]
    assert at.ask("GET", f"/{schedule_id}/runs/{came['id']}").json() == came


def test_the_run_is_its_owners_whoever_fires_it(at: SchedulePlace) -> None:
    schedule_id = at.made("say hello")
    came = at.trigger(schedule_id, headers=at.place.world.admin())
    record = at.place.record(came["run_id"])
    assert record is not None
    assert (record.owner, record.user_id, record.durable) == (owner(), OWNER, True)
    theirs = at.bearer(STRANGER)
    where = {"session_id": came["session_id"]}
    url = f"/agents/alpha/runs/{came['run_id']}"
    assert at.client.get(url, params=where, headers=theirs).status_code == 404
    assert at.client.get(url, params=where, headers=at.headers).status_code == 200


def test_its_runs_go_on_with_the_session_that_it_names(at: SchedulePlace) -> None:
    payload = {"message": "say hello", "session_id": "diary", "metadata": {"k": "v"}}
    schedule_id = at.made(payload=payload)
    sessions = {at.trigger(schedule_id)["session_id"] for _ in range(2)}
    assert sessions == {"diary"}
    run = run_of(at, at.runs(schedule_id)[0])
    assert run.metadata == {"k": "v"}


def test_a_run_that_fails_is_200_and_says_so(at: SchedulePlace) -> None:
    came = at.trigger(at.made("fail"))
    assert (came["status"], came["attempt"]) == ("failed", 1)
    assert "the provider is away" in came["error"]
    assert run_of(at, came).status == "ERROR"


def test_a_run_that_fails_is_repeated_as_often_as_it_says(at: SchedulePlace) -> None:
    schedule_id = at.made("fail", max_retries=2, retry_delay_seconds=0)
    came = at.trigger(schedule_id)
    assert came["attempt"] == 3
    assert [each["attempt"] for each in at.runs(schedule_id)] == [3, 2, 1]
    assert len({each["run_id"] for each in at.runs(schedule_id)}) == 3


def test_a_run_that_works_is_seen_as_it_stands(at: SchedulePlace) -> None:
    schedule_id = at.made("hold seen one two")
    with ThreadPoolExecutor() as threads:
        asking = threads.submit(at.trigger, schedule_id)
        wait_for(lambda: at.place.asked["hold seen one two"] == 1, "the run to work")
        (running,) = at.runs(schedule_id)
        assert (running["status"], running["completed_at"]) == ("running", None)
        at.place.hold("seen").opened.set()
        assert asking.result()["status"] == "success"


def test_a_run_whose_time_is_over_is_cancelled(at: SchedulePlace) -> None:
    came = at.trigger(at.made("hold late one two", timeout_seconds=1))
    assert (came["status"], came["error"]) == (
        "failed",
        "The run was not done within 1 seconds",
    )
    assert run_of(at, came).status == "CANCELLED"


def test_a_run_that_its_owner_cancels_is_cancelled(at: SchedulePlace) -> None:
    schedule_id = at.made("hold cancelled one two", max_retries=3)
    with ThreadPoolExecutor() as threads:
        asking = threads.submit(at.trigger, schedule_id)
        wait_for(lambda: at.place.asked["hold cancelled one two"] == 1, "the run to work")
        (running,) = at.runs(schedule_id)
        cancel = f"/agents/alpha/runs/{running['run_id']}/cancel"
        where = {"session_id": running["session_id"]}
        assert at.client.post(cancel, params=where, headers=at.headers).status_code == 200
        came = asking.result()
    assert (came["status"], came["attempt"]) == ("cancelled", 1)


def test_a_client_that_leaves_ends_nothing(at: SchedulePlace) -> None:
    schedule_id = at.made("hold left one two")
    client = httpx.Client(base_url=at.client.base_url, timeout=0.3)

    def ask() -> None:
        with pytest.raises(httpx.TimeoutException):
            client.post(f"/schedules/{schedule_id}/trigger", headers=at.headers)

    asking = threading.Thread(target=ask)
    asking.start()
    wait_for(lambda: at.place.asked["hold left one two"] == 1, "the run to work")
    asking.join()
    client.close()
    at.place.hold("left").opened.set()
    wait_for(lambda: at.runs(schedule_id)[0]["status"] == "success", "its end")


def test_a_disabled_schedule_is_fired_on_demand(at: SchedulePlace) -> None:
    schedule_id = at.made()
    at.ask("POST", f"/{schedule_id}/disable")
    assert at.trigger(schedule_id)["status"] == "success"


def test_what_the_agent_takes_no_more_is_what_came_of_it(at: SchedulePlace) -> None:
    payload = {"message": "hi", "dependencies": {"gone": 1}}
    usual: dict[str, Any] = {
        "owner": owner(),
        "cron_expr": "",
        "snapshot": at.stored(at.made()).snapshot,
    }
    at.store(schedule("old", id="old", agent_id="alpha", payload=payload, **usual))
    at.store(schedule("gone", id="gone", agent_id="gone", **usual))
    came = at.trigger("old")
    assert (came["status"], came["status_code"], came["run_id"]) == ("failed", 422, None)
    assert "payload.dependencies" in came["error"]
    missing = at.trigger("gone")
    assert (missing["status_code"], missing["error"]) == (404, "Agent not found")


def test_what_came_of_it_is_told_when_its_session_is_gone(at: SchedulePlace) -> None:
    schedule_id = at.made()
    came = at.trigger(schedule_id)
    key = SessionKey(owner(), came["session_id"])
    assert asyncio.run(at.place.db.store(EVERYBODY).delete_sessions([key])) == 1
    assert at.runs(schedule_id) == [came]


def test_what_is_due_by_the_clock_is_fired(at: SchedulePlace) -> None:
    # Each second: the engine's clock knows them, and no route takes them.
    model = at.stored(at.made(name="model"))
    each_second = "* * * * * *"
    at.store(
        schedule(
            "ticking",
            id="ticking",
            owner=owner(),
            agent_id="alpha",
            payload={"message": "say tick"},
            cron_expr=each_second,
            snapshot=model.snapshot,
        )
    )
    wait_for(lambda: len(at.runs("ticking")) >= 2, "two firings")
    at.ask("POST", "/ticking/disable")
    runs = at.runs("ticking")
    assert len({each["triggered_at"] for each in runs}) == len(runs)
    wait_for(
        lambda: {each["status"] for each in at.runs("ticking")} == {"success"}, "the runs' ends"
    )
