"""Schedules over a real socket: what may be made, seen and changed, and by whom."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from licet.agent import Agent
from licet.db.in_memory import InMemoryDb
from licet.db.sqlite import SqliteDb
from licet.testing import Say, ScriptedModel
from tests.support.live import serve
from tests.support.schedule_place import SchedulePlace, owner, served_schedules
from tests.support.world import OWNER, STRANGER, World

KEYS = {
    *("id", "user_id", "name", "description", "method", "endpoint", "payload", "cron_expr"),
    *("timezone", "timeout_seconds", "max_retries", "retry_delay_seconds", "enabled"),
    *("next_run_at", "managed_by", "target_type", "target_id", "disabled_reason"),
    *("created_at", "updated_at"),
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SchedulePlace]:
    with served_schedules(tmp_path_factory.mktemp("schedules")) as place:
        yield place


@pytest.fixture
def at(served: SchedulePlace) -> SchedulePlace:
    served.clear()
    return served


class TestMaking:
    def test_a_schedule_is_answered_whole(self, at: SchedulePlace) -> None:
        before = int(time.time())
        answer = at.create(
            name="daily report",
            description="for everybody",
            cron_expr=" 0  9 * * MON-FRI ",
            timezone="Europe/Berlin",
            timeout_seconds=60,
            max_retries=2,
            retry_delay_seconds=0,
        )
        assert answer.status_code == 201
        made = answer.json()
        assert set(made) == KEYS
        assert (made["name"], made["description"]) == ("daily report", "for everybody")
        assert (made["method"], made["endpoint"]) == ("POST", "/agents/alpha/runs")
        assert (made["target_type"], made["target_id"]) == ("agent", "alpha")
        assert (made["cron_expr"], made["timezone"]) == ("0 9 * * MON-FRI", "Europe/Berlin")
        assert made["payload"] == {"message": "say hello"}
        assert (made["timeout_seconds"], made["max_retries"]) == (60, 2)
        assert (made["retry_delay_seconds"], made["enabled"]) == (0, True)
        assert (made["user_id"], made["disabled_reason"]) == (OWNER, None)
        assert before <= made["created_at"] == made["updated_at"] <= time.time()
        due = datetime.fromtimestamp(made["next_run_at"], UTC)
        assert due.hour in {7, 8}
        assert made["next_run_at"] > before
        assert at.ask("GET", f"/{made['id']}").json() == made

    def test_what_is_left_out_is_as_documented(self, at: SchedulePlace) -> None:
        made = at.create().json()
        assert (made["cron_expr"], made["timezone"], made["next_run_at"]) == ("", "UTC", None)
        assert (made["timeout_seconds"], made["max_retries"]) == (3600, 0)
        assert (made["retry_delay_seconds"], made["description"]) == (60, None)

    def test_fields_that_nobody_knows_are_not_looked_at(self, at: SchedulePlace) -> None:
        payload = {"message": "hi", "stream": True, "background": 7, "user_id": "bob", "x": 1}
        made = at.create(owner="bob", user_id="bob", enabled=False, snapshot="x", payload=payload)
        assert made.status_code == 201
        assert made.json()["payload"] == {"message": "hi"}
        assert (made.json()["user_id"], made.json()["enabled"]) == (OWNER, True)

    def test_the_token_is_nowhere_in_what_is_stored(self, at: SchedulePlace) -> None:
        schedule_id = at.made()
        token = at.headers["Authorization"].removeprefix("Bearer ")
        stored = at.stored(schedule_id)
        assert stored.snapshot is not None
        for part in token.split("."):
            assert part not in str(stored)

    def test_a_name_is_taken_once_by_each_owner(self, at: SchedulePlace) -> None:
        at.made(name="daily")
        again = at.create(name="daily")
        assert again.status_code == 409
        assert again.json() == {"detail": "Schedule with name 'daily' already exists"}
        assert at.create(name="daily", headers=at.bearer(STRANGER)).status_code == 201


FIVE = "expected five fields: minute, hour, day of the month, month, day of the week"
ONLY = "only 'POST /agents/{agent_id}/runs' of this server can be scheduled"


class TestRefusals:
    @pytest.mark.parametrize(
        ("values", "detail"),
        [
            ({"cron_expr": "often"}, f"Invalid cron expression: 'often'; {FIVE}"),
            ({"cron_expr": "* * * * * *"}, f"Invalid cron expression: '* * * * * *'; {FIVE}"),
            ({"timezone": "Mars"}, "Invalid timezone: 'Mars'; expected a name of the IANA "),
            ({"cron_expr": "* * * * *", "timezone": "Mars"}, "Invalid timezone: 'Mars'"),
            ({"endpoint": "agents/alpha/runs"}, "Invalid endpoint: it must start with '/'"),
            ({"endpoint": "https://evil.test/x"}, "Invalid endpoint: it must start with '/'"),
            ({"endpoint": "//evil.test/agents/alpha/runs"}, ONLY),
            ({"endpoint": "/agents/alpha"}, ONLY),
            ({"endpoint": "/agents/alpha/runs?x=1"}, ONLY),
            ({"endpoint": "/agents/a/../alpha/runs"}, ONLY),
            ({"endpoint": "/teams/alpha/runs"}, ONLY),
            ({"endpoint": "/sessions"}, ONLY),
            ({"method": "DELETE"}, ONLY),
            ({"method": "GET"}, ONLY),
            ({"endpoint": "/agents/nobody/runs"}, "Invalid endpoint: there is no agent 'nobody'"),
        ],
        ids=str,
    )
    def test_what_cannot_be_scheduled_is_refused_in_words(
        self, at: SchedulePlace, values: dict[str, Any], detail: str
    ) -> None:
        answer = at.create(**values)
        assert answer.status_code == 422
        assert detail in answer.json()["detail"]
        assert at.ask("GET").json()["data"] == []

    @pytest.mark.parametrize(
        ("values", "field", "kind"),
        [
            ({"name": None}, ["body", "name"], "missing"),
            ({"endpoint": None}, ["body", "endpoint"], "missing"),
            ({"name": ""}, ["body", "name"], "value_error"),
            ({"name": "n" * 256}, ["body", "name"], "value_error"),
            ({"name": 7}, ["body", "name"], "value_error"),
            ({"description": "d" * 2001}, ["body", "description"], "value_error"),
            ({"endpoint": "/" * 1001}, ["body", "endpoint"], "value_error"),
            ({"endpoint": "/agents/%00/runs"}, ["body", "endpoint"], "value_error"),
            ({"cron_expr": 5}, ["body", "cron_expr"], "value_error"),
            ({"timeout_seconds": 0}, ["body", "timeout_seconds"], "value_error"),
            ({"timeout_seconds": True}, ["body", "timeout_seconds"], "value_error"),
            ({"timeout_seconds": 1.5}, ["body", "timeout_seconds"], "value_error"),
            ({"max_retries": 101}, ["body", "max_retries"], "value_error"),
            ({"retry_delay_seconds": -1}, ["body", "retry_delay_seconds"], "value_error"),
            ({"payload": []}, ["body", "payload"], "value_error"),
            ({"payload": {}}, ["body", "payload", "message"], "missing"),
            ({"payload": {"message": 7}}, ["body", "payload", "message"], "value_error"),
            (
                {"payload": {"message": "hi", "session_state": {"x": 1}}},
                ["body", "payload", "session_state"],
                "value_error",
            ),
            (
                {"payload": {"message": "hi", "output_schema": {"$ref": "https://evil.test"}}},
                ["body", "payload", "output_schema"],
                "value_error",
            ),
        ],
        ids=str,
    )
    def test_a_field_that_is_none_is_named(
        self, at: SchedulePlace, values: dict[str, Any], field: list[str], kind: str
    ) -> None:
        answer = at.create(**values)
        assert answer.status_code == 422
        (problem,) = answer.json()["detail"]
        assert (problem["loc"], problem["type"]) == (field, kind)

    def test_a_body_that_is_no_object_is_refused(self, at: SchedulePlace) -> None:
        for body in (b"", b"[]", b"{", b"\xff"):
            assert at.ask("POST", content=body).status_code == 422

    @pytest.mark.parametrize("query", ["page=0", "limit=0", "limit=1001", "enabled=maybe"])
    def test_a_page_that_there_is_not_is_refused(self, at: SchedulePlace, query: str) -> None:
        assert at.ask("GET", f"?{query}").status_code == 422


class TestSeeing:
    def test_a_list_has_pages_the_newest_first(self, at: SchedulePlace) -> None:
        ids = [at.made(name=name) for name in "abc"]
        at.ask("POST", f"/{ids[1]}/disable")
        answer = at.ask("GET", "?limit=2").json()
        assert [each["name"] for each in answer["data"]] == ["c", "b"]
        meta = answer["meta"]
        assert [meta[name] for name in ("page", "limit", "total_pages", "total_count")] == [
            *(1, 2, 2, 3),
        ]
        enabled = at.ask("GET", "?enabled=true").json()["data"]
        assert [each["name"] for each in enabled] == ["c", "a"]
        assert at.ask("GET", "?page=9").json()["data"] == []

    def test_a_list_shows_what_the_grants_reach(self, at: SchedulePlace) -> None:
        ids = [at.made(name=name) for name in "ab"]
        headers = at.bearer(OWNER, f"schedules:{ids[0]}:read")
        assert [s["id"] for s in at.ask("GET", headers=headers).json()["data"]] == ids[:1]
        assert at.ask("GET", f"/{ids[1]}", headers=headers).status_code == 403

    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            ("GET", "", 404),
            ("PATCH", "", 404),
            ("DELETE", "", 204),
            ("POST", "/enable", 404),
            ("POST", "/disable", 404),
            ("POST", "/trigger", 404),
            ("GET", "/runs", 404),
            ("GET", "/runs/x", 404),
        ],
    )
    def test_somebody_elses_is_as_one_that_there_is_not(
        self, at: SchedulePlace, method: str, path: str, status: int
    ) -> None:
        hers, his = at.made(), at.bearer(STRANGER)
        seen = at.seen(hers)
        answers = [
            at.ask(method, f"/{each}{path}", headers=his, json={"name": "mine"})
            for each in (hers, "unknown")
        ]
        assert [each.status_code for each in answers] == [status, status]
        assert answers[0].text == answers[1].text
        if status == 404:
            assert answers[0].json() == {"detail": "Schedule not found"}
        assert at.seen(hers) == seen
        assert at.ask("GET", headers=his).json()["data"] == []

    def test_a_run_that_there_is_not_is_404(self, at: SchedulePlace) -> None:
        answer = at.ask("GET", f"/{at.made()}/runs/unknown")
        assert answer.status_code == 404
        assert answer.json() == {"detail": "Schedule run not found"}


class TestChanging:
    def test_what_is_left_out_stays(self, at: SchedulePlace) -> None:
        schedule_id = at.made(cron_expr="0 9 * * *", max_retries=2)
        before = at.seen(schedule_id)
        answer = at.ask("PATCH", f"/{schedule_id}", json={"name": "other", "max_retries": None})
        assert answer.status_code == 200
        after = answer.json()
        assert after == {**before, "name": "other", "updated_at": after["updated_at"]}
        assert at.seen(schedule_id) == after

    def test_everything_can_be_changed(self, at: SchedulePlace) -> None:
        schedule_id = at.made(description="old")
        changes = {
            "name": "new",
            "description": "",
            "endpoint": "/agents/beta/runs/",
            "payload": {"message": "say other"},
            "cron_expr": "5 5 * * *",
            "timezone": "Asia/Tokyo",
            "timeout_seconds": 5,
            "max_retries": 1,
            "retry_delay_seconds": 2,
        }
        after = at.ask("PATCH", f"/{schedule_id}", json=changes).json()
        expected = {**changes, "endpoint": "/agents/beta/runs", "description": None}
        assert {key: after[key] for key in changes} == expected
        assert after["next_run_at"] is not None

    def test_a_change_is_checked_as_a_new_one_is(self, at: SchedulePlace) -> None:
        schedule_id = at.made()
        before = at.seen(schedule_id)
        at.made(name="taken")
        for changes, status in (
            ({"cron_expr": "often"}, 422),
            ({"endpoint": "/sessions"}, 422),
            ({"payload": {"session_state": {"x": 1}, "message": "hi"}}, 422),
            ({"name": "taken"}, 409),
        ):
            answer = at.ask("PATCH", f"/{schedule_id}", json=changes)
            assert answer.status_code == status, changes
        assert at.seen(schedule_id) == before

    def test_a_schedule_is_switched_off_and_on(self, at: SchedulePlace) -> None:
        schedule_id = at.made(cron_expr="0 9 * * *")
        off = at.ask("POST", f"/{schedule_id}/disable").json()
        assert set(off) == {"id", "name", "enabled", "next_run_at", "updated_at"}
        assert (off["enabled"], off["next_run_at"]) == (False, None)
        on = at.ask("POST", f"/{schedule_id}/enable").json()
        assert (on["id"], on["name"], on["enabled"]) == (schedule_id, "daily", True)
        assert on["next_run_at"] > time.time()

    def test_a_schedule_is_deleted_once_and_again(self, at: SchedulePlace) -> None:
        schedule_id = at.made()
        for each in (schedule_id, schedule_id, "unknown"):
            answer = at.ask("DELETE", f"/{each}")
            assert (answer.status_code, answer.content) == (204, b"")
        assert at.ask("GET", f"/{schedule_id}").status_code == 404

    def test_what_an_administrator_changes_stays_its_owners(self, at: SchedulePlace) -> None:
        schedule_id = at.made()
        before = at.stored(schedule_id)
        admin = at.place.world.admin()
        changed = at.ask("PATCH", f"/{schedule_id}", json={"name": "x"}, headers=admin)
        assert changed.status_code == 200
        at.ask("POST", f"/{schedule_id}/enable", headers=admin)
        after = at.stored(schedule_id)
        assert (after.owner, after.user_id) == (owner(), OWNER)
        assert after.snapshot == before.snapshot
        assert after.name == "x"

    def test_its_owner_gives_their_authority_anew(self, at: SchedulePlace) -> None:
        schedule_id = at.made()
        snapshots = [at.stored(schedule_id).snapshot]
        for method, path in (("PATCH", ""), ("POST", "/enable")):
            at.ask(method, f"/{schedule_id}{path}", json={"name": "x"}, headers=at.bearer())
            snapshots.append(at.stored(schedule_id).snapshot)
        assert len(set(snapshots)) == 3


def test_where_nothing_outlives_the_process_there_are_no_schedules() -> None:
    world = World(db=InMemoryDb())
    headers = world.bearer(OWNER, "schedules:write", "schedules:read", "agents:run")
    body = {"name": "n", "endpoint": "/agents/alpha/runs", "payload": {"message": "hi"}}
    app = world.agent_os().get_app()
    with serve(app) as live, httpx.Client(base_url=live.url, headers=headers) as client:
        answer = client.post("/schedules", json=body)
        assert answer.status_code == 503
        assert "SqliteDb or a PostgresDb" in answer.json()["detail"]
        assert client.get("/schedules").json()["data"] == []


def test_an_agent_whose_runs_end_with_the_process_is_not_scheduled(tmp_path: Path) -> None:
    model = ScriptedModel([Say("hi")])
    world = World(db=SqliteDb(tmp_path / "licet.db"))
    world.agents = [Agent(id="alpha", model=model, db=InMemoryDb())]
    body = {"name": "n", "endpoint": "/agents/alpha/runs", "payload": {"message": "hi"}}
    headers = world.bearer(OWNER, "schedules:write", "agents:run")
    with serve(world.agent_os().get_app()) as live:
        answer = httpx.post(f"{live.url}/schedules", json=body, headers=headers)
    assert answer.status_code == 503


def test_two_servers_of_one_process_do_not_both_have_schedules(
    at: SchedulePlace, tmp_path: Path
) -> None:
    at.made()
    world = World(db=SqliteDb(tmp_path / "licet.db"))
    body = {"name": "n", "endpoint": "/agents/alpha/runs", "payload": {"message": "hi"}}
    headers = world.bearer(OWNER, "schedules:write", "agents:run")
    with serve(world.agent_os().get_app()) as live:
        answer = httpx.post(f"{live.url}/schedules", json=body, headers=headers)
    assert answer.status_code == 503
    assert answer.json() == {"detail": "Schedules are served by another process"}
    assert answer.headers["retry-after"]
