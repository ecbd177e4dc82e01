"""The runs of a session over HTTP: whole, in brief, and one by one."""

from __future__ import annotations

from typing import Any

import pytest

from licet.db.records import RunStatus
from tests.support.house import House
from tests.support.world import OWNER, STRANGER

LISTS = ("/sessions/s/runs", "/sessions/s/run-previews")


def run_ids(answer: Any) -> list[str]:
    """The ids of listed runs, in their order."""
    return [run["run_id"] for run in answer.json()]


class TestLists:
    def test_a_run_has_what_clients_read_and_no_nulls(self, house: House) -> None:
        house.add_run(OWNER, "s", "r", asked="one?", content="one.", tokens=5, at=10)
        (run,) = house.somebody(OWNER).get("/sessions/s/runs").json()
        assert None not in run.values()
        assert (run["run_id"], run["agent_id"], run["user_id"]) == ("r", "alpha", OWNER)
        assert (run["run_input"], run["content"]) == ("one?", "one.")
        assert (run["status"], run["run_response_format"]) == ("COMPLETED", "text")
        assert run["created_at"] == "1970-01-01T00:00:10Z"
        assert run["metrics"] == {"total_tokens": 5}
        assert [m["role"] for m in run["messages"]] == ["user", "assistant"]
        assert run["parent_run_id"] == run["reasoning_content"] == ""
        for name in ("tools", "events", "images", "videos", "audio", "files"):
            assert run[name] == []

    def test_structured_content_is_an_object_there_and_text_in_brief(self, house: House) -> None:
        house.add_run(OWNER, "s", "r", content={"answer": 42}, content_type="Answer")
        olga = house.somebody(OWNER)
        (run,) = olga.get("/sessions/s/runs").json()
        assert (run["content"], run["run_response_format"]) == ({"answer": 42}, "json")
        (preview,) = olga.get("/sessions/s/run-previews").json()
        assert preview["content_preview"] == '{"answer":42}'

    def test_previews_are_short(self, house: House) -> None:
        house.add_run(OWNER, "s", "r", asked="q" * 1000, content="ä" * 1000, at=10)
        (preview,) = house.somebody(OWNER).get("/sessions/s/run-previews").json()
        assert preview == {
            "run_id": "r",
            "parent_run_id": None,
            "agent_id": "alpha",
            "user_id": OWNER,
            "status": "COMPLETED",
            "run_input": "q" * 280,
            "content_preview": "ä" * 280,
            "created_at": "1970-01-01T00:00:10Z",
        }

    def test_a_run_at_work_has_no_content_yet(self, house: House) -> None:
        house.add_run(OWNER, "s", "r", content=None, status=RunStatus.RUNNING)
        olga = house.somebody(OWNER)
        (run,) = olga.get("/sessions/s/runs").json()
        (preview,) = olga.get("/sessions/s/run-previews").json()
        assert (run["status"], run["content"]) == ("RUNNING", "")
        assert (preview["status"], preview["content_preview"]) == ("RUNNING", "")

    @pytest.mark.parametrize("path", LISTS)
    def test_the_oldest_comes_first_and_other_sessions_are_out(
        self, house: House, path: str
    ) -> None:
        for name, at in (("late", 30), ("early", 10), ("middle", 20)):
            house.add_run(OWNER, "s", name, at=at)
        house.add_run(OWNER, "other", "elsewhere", at=15)
        house.add_run(STRANGER, "s", "foreign", at=15)
        assert run_ids(house.somebody(OWNER).get(path)) == ["early", "middle", "late"]

    @pytest.mark.parametrize("path", LISTS)
    @pytest.mark.parametrize(
        ("params", "expected"),
        [
            ({"status": "COMPLETED"}, ["a", "d"]),
            ({"status": "completed"}, ["a", "d"]),
            ({"status": ["error", "Running"]}, ["b", "c"]),
            ({"status": "PAUSED"}, []),
            ({"created_after": 20}, ["b", "c", "d"]),
            ({"created_before": 20}, ["a", "b"]),
            ({"created_after": 20, "created_before": 30}, ["b", "c"]),
            ({"created_after": 30, "created_before": 20}, []),
            ({"created_after": 0, "created_before": 253_402_300_799}, ["a", "b", "c", "d"]),
            ({"created_after": 11, "status": "COMPLETED"}, ["d"]),
        ],
    )
    def test_filters(
        self, house: House, path: str, params: dict[str, Any], expected: list[str]
    ) -> None:
        # Half a second after the bound still belongs to the second that the bound names.
        for name, at, status in (
            ("a", 10, RunStatus.COMPLETED),
            ("b", 20.5, RunStatus.ERROR),
            ("c", 30, RunStatus.RUNNING),
            ("d", 40, RunStatus.COMPLETED),
        ):
            house.add_run(OWNER, "s", name, at=at, status=status)
        assert run_ids(house.somebody(OWNER).get(path, **params)) == expected

    @pytest.mark.parametrize("path", LISTS)
    @pytest.mark.parametrize(
        "params",
        [
            {"status": "WEIRD"},
            {"status": ["COMPLETED", ""]},
            {"created_after": -1},
            {"created_after": "yesterday"},
            {"created_before": 253_402_300_800},
            {"created_before": 10**40},
            {"type": "crowd"},
        ],
    )
    def test_what_cannot_be_meant_is_422_and_named(
        self, house: House, path: str, params: dict[str, Any]
    ) -> None:
        house.add_session(OWNER, "s")
        answer = house.somebody(OWNER).get(path, **params)
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["loc"] == ["query", *params]

    @pytest.mark.parametrize("path", LISTS)
    def test_an_unknown_and_a_foreign_session_are_the_same_404(
        self, house: House, path: str
    ) -> None:
        olga = house.somebody(OWNER)
        unknown = olga.get(path)
        house.add_run(STRANGER, "s", "r")
        foreign = olga.get(path)
        assert unknown.status_code == foreign.status_code == 404
        assert unknown.json() == foreign.json() == {"detail": "Session with ID s not found"}

    def test_the_type_is_looked_at_where_it_is_given(self, house: House) -> None:
        house.add_run(OWNER, "s", "r")
        olga = house.somebody(OWNER)
        assert run_ids(olga.get("/sessions/s/runs", type="agent")) == ["r"]
        assert olga.get("/sessions/s/runs", type="team").status_code == 404


class TestOneRun:
    def test_it_is_what_the_list_shows(self, house: House) -> None:
        for name in ("r1", "r2"):
            house.add_run(OWNER, "s", name)
        olga = house.somebody(OWNER)
        listed = olga.get("/sessions/s/runs").json()
        assert [olga.get(f"/sessions/s/runs/{name}").json() for name in ("r1", "r2")] == listed

    @pytest.mark.parametrize(
        ("session_id", "run_id"),
        [("s", "unknown"), ("unknown", "r"), ("other", "r"), ("s", "foreign"), ("theirs", "x")],
    )
    def test_a_run_that_is_not_there_is_404(
        self, house: House, session_id: str, run_id: str
    ) -> None:
        house.add_run(OWNER, "s", "r")
        house.add_run(OWNER, "other", "r2")
        house.add_run(STRANGER, "s", "foreign")
        house.add_run(STRANGER, "theirs", "x")
        answer = house.somebody(OWNER).get(f"/sessions/{session_id}/runs/{run_id}")
        assert answer.status_code == 404
        assert answer.json() == {
            "detail": f"Run with ID {run_id} not found in session {session_id}"
        }

    @pytest.mark.parametrize(
        ("path", "name"),
        [("/sessions/s/runs/a%00", "run_id"), ("/sessions/a%00/runs/r", "session_id")],
    )
    def test_what_is_no_id_is_422(self, house: House, path: str, name: str) -> None:
        house.add_session(OWNER, "s")
        answer = house.somebody(OWNER).get(path)
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["loc"] == ["path", name]

    def test_a_scope_for_one_session_reads_its_runs(self, house: House) -> None:
        for name in ("a", "b"):
            house.add_run(OWNER, name, f"run-{name}")
        some = house.somebody(OWNER, "sessions:a:read")
        assert some.get("/sessions/a/runs/run-a").status_code == 200
        assert some.get("/sessions/b/runs/run-b").status_code == 403
        assert some.get("/sessions/a/runs/run-b").status_code == 404
