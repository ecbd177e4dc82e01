"""Sessions over HTTP: renamed, changed, deleted; what is not the caller's stays as it is."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.house import House
from tests.support.world import OWNER, STRANGER


def seen(house: House, subject: str, session_id: str) -> Any:
    """The session as its owner reads it."""
    return house.somebody(subject).get(f"/sessions/{session_id}").json()


class TestRenaming:
    def test_the_answer_and_the_session_have_the_new_name(self, house: House) -> None:
        house.add_run(OWNER, "s", "r", asked="old name", at=1000)
        renamed = house.somebody(OWNER).send(
            "POST", "/sessions/s/rename", {"session_name": "New name"}
        )
        body = renamed.json()
        assert renamed.status_code == 200
        assert body["session_name"] == "New name"
        assert body == seen(house, OWNER, "s")
        assert body["created_at"] == "1970-01-01T00:16:40Z"
        assert body["updated_at"] > "2020"
        assert [m["content"] for m in body["chat_history"]] == ["old name", "hello"]

    def test_an_empty_name_brings_the_first_message_back(self, house: House) -> None:
        house.add_run(OWNER, "s", "r", asked="the question")
        for name in ("Something", ""):
            house.somebody(OWNER).send("POST", "/sessions/s/rename", {"session_name": name})
        assert seen(house, OWNER, "s")["session_name"] == "the question"

    @pytest.mark.parametrize("body", [{}, {"session_name": None}])
    def test_the_name_is_required(self, house: House, body: dict[str, Any]) -> None:
        house.add_session(OWNER, "s")
        answer = house.somebody(OWNER).send("POST", "/sessions/s/rename", body)
        assert answer.status_code == 422
        assert answer.json()["detail"] == [
            {
                "type": "missing",
                "loc": ["body", "session_name"],
                "msg": "Field required",
                "input": None,
            }
        ]

    @pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"session_name": "\\ud800"}'])
    def test_a_body_that_is_no_object_is_422(self, house: House, content: bytes) -> None:
        house.add_session(OWNER, "s")
        before = house.session(OWNER, "s")
        olga = house.somebody(OWNER)
        for method, path in (("POST", "/sessions/s/rename"), ("PATCH", "/sessions/s")):
            answer = olga.client.request(method, path, content=content, headers=olga.headers)
            assert answer.status_code == 422
            assert answer.json()["detail"][0]["loc"][0] == "body"
        assert house.session(OWNER, "s") == before


class TestPatching:
    def test_the_state_is_replaced_and_the_rest_stays(self, house: House) -> None:
        house.add_session(
            OWNER,
            "s",
            session_name="Name",
            session_state={"a": 1, "b": 2},
            metadata={"k": "v"},
        )
        changes = {"session_state": {"c": 3}, "summary": {"summary": "short"}}
        body = house.somebody(OWNER).send("PATCH", "/sessions/s", changes).json()
        assert body["session_state"] == {"c": 3}
        assert body["session_summary"] == {"summary": "short"}
        assert body["session_name"] == "Name"
        assert body["metadata"] == {"k": "v"}
        assert body == seen(house, OWNER, "s")

    def test_nothing_given_changes_nothing(self, house: House) -> None:
        house.add_session(OWNER, "s", session_name="Name", session_state={"a": 1})
        before = seen(house, OWNER, "s")
        answer = house.somebody(OWNER).send("PATCH", "/sessions/s", {"unknown": "x"})
        assert answer.status_code == 200
        after = answer.json()
        assert after.pop("updated_at") >= before.pop("updated_at")
        assert after == before

    @pytest.mark.parametrize(
        "changes",
        [
            {"session_name": 1},
            {"session_state": "x"},
            {"session_state": []},
            {"metadata": True},
            {"summary": "short"},
        ],
    )
    def test_what_cannot_be_kept_is_422_and_named(
        self, house: House, changes: dict[str, Any]
    ) -> None:
        house.add_session(OWNER, "s")
        before = house.session(OWNER, "s")
        answer = house.somebody(OWNER).send("PATCH", "/sessions/s", changes)
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["loc"] == ["body", *changes]
        assert house.session(OWNER, "s") == before

    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("PATCH", "/sessions/s", {"session_name": "taken"}),
            ("POST", "/sessions/s/rename", {"session_name": "taken"}),
        ],
    )
    def test_an_unknown_and_a_foreign_session_are_the_same_404(
        self, house: House, method: str, path: str, body: dict[str, Any]
    ) -> None:
        sten = house.somebody(STRANGER)
        unknown = sten.send(method, path, body)
        house.add_session(OWNER, "s", session_name="Olga's")
        before = house.session(OWNER, "s")
        foreign = sten.send(method, path, body)
        assert unknown.status_code == foreign.status_code == 404
        assert unknown.json() == foreign.json() == {"detail": "Session with id 's' not found"}
        assert house.session(OWNER, "s") == before

    def test_the_type_is_looked_at_where_it_is_given(self, house: House) -> None:
        house.add_session(OWNER, "s")
        olga = house.somebody(OWNER)
        assert olga.send("PATCH", "/sessions/s", {}, type="team").status_code == 404
        assert olga.send("PATCH", "/sessions/s", {}, type="agent").status_code == 200
        assert olga.send("PATCH", "/sessions/s", {}, type="crowd").status_code == 422


class TestDeleting:
    def test_a_session_goes_with_its_runs(self, house: House) -> None:
        house.add_run(OWNER, "s", "r")
        house.add_run(OWNER, "other", "r2")
        olga = house.somebody(OWNER)
        answer = olga.send("DELETE", "/sessions/s")
        assert (answer.status_code, answer.content) == (204, b"")
        assert olga.get("/sessions/s").status_code == 404
        assert olga.get("/sessions/s/runs/r").status_code == 404
        assert olga.get("/sessions/other").status_code == 200
        house.add_session(OWNER, "s")
        assert olga.get("/sessions/s/runs").json() == []

    def test_unknown_and_foreign_ids_are_204_too_and_nothing_happens(self, house: House) -> None:
        house.add_run(OWNER, "s", "r")
        before = house.session(OWNER, "s")
        sten = house.somebody(STRANGER)
        for path in ("/sessions/s", "/sessions/unknown"):
            answer = sten.send("DELETE", path)
            assert (answer.status_code, answer.content) == (204, b"")
        assert sten.send("DELETE", "/sessions/s", user_id=OWNER).status_code == 204
        assert house.session(OWNER, "s") == before

    def test_a_scope_for_one_session_deletes_that_one(self, house: House) -> None:
        for name in ("a", "b"):
            house.add_session(OWNER, name)
        some = house.somebody(OWNER, "sessions:a:delete")
        assert some.send("DELETE", "/sessions/b").status_code == 403
        assert some.send("DELETE", "/sessions/a").status_code == 204
        assert (house.session(OWNER, "a"), house.session(OWNER, "b") is None) == (None, False)


class TestDeletingMany:
    def test_each_id_goes_if_it_is_the_callers_and_of_that_type(self, house: House) -> None:
        for name in ("a", "b", "kept"):
            house.add_session(OWNER, name)
        house.add_session(OWNER, "crew", session_type="team", component_id="squad")
        house.add_session(STRANGER, "foreign")
        body = {
            "session_ids": ["a", "kept", "foreign", "unknown", "b", "a", "crew"],
            "session_types": ["agent", "team", "agent", "workflow", "agent", "agent", "team"],
        }
        answer = house.somebody(OWNER).send("DELETE", "/sessions", body)
        assert (answer.status_code, answer.content) == (204, b"")
        for name in ("a", "b", "crew"):
            assert house.session(OWNER, name) is None
        assert house.session(OWNER, "kept") is not None
        assert house.session(STRANGER, "foreign") is not None

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({}, "session_ids"),
            ({"session_ids": ["a"]}, "session_types"),
            ({"session_ids": [], "session_types": []}, "session_ids"),
            ({"session_ids": "a", "session_types": ["agent"]}, "session_ids"),
            ({"session_ids": ["a"], "session_types": ["agent", "agent"]}, "session_types"),
            ({"session_ids": ["a", "b"], "session_types": ["agent"]}, "session_types"),
            ({"session_ids": ["a"], "session_types": ["crowd"]}, "session_types"),
            ({"session_ids": ["a"], "session_types": [[]]}, "session_types"),
            ({"session_ids": ["a", 5], "session_types": ["agent", "agent"]}, "session_ids"),
            ({"session_ids": ["a", "\0"], "session_types": ["agent", "agent"]}, "session_ids"),
            ({"session_ids": ["a"] * 1001, "session_types": ["agent"] * 1001}, "session_ids"),
        ],
    )
    def test_what_cannot_be_meant_is_422_and_deletes_nothing(
        self, house: House, body: dict[str, Any], field: str
    ) -> None:
        house.add_session(OWNER, "a")
        answer = house.somebody(OWNER).send("DELETE", "/sessions", body)
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["loc"] == ["body", field]
        assert house.session(OWNER, "a") is not None
