"""Who sees all has to say whose."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.house import House
from tests.support.world import ADMIN, OWNER, STRANGER

ROUTES: list[tuple[str, str, Any]] = [
    ("GET", "/sessions/s", None),
    ("PATCH", "/sessions/s", {"session_name": "changed"}),
    ("DELETE", "/sessions/s", None),
    ("POST", "/sessions/s/rename", {"session_name": "changed"}),
    ("GET", "/sessions/s/runs", None),
    ("GET", "/sessions/s/run-previews", None),
    ("GET", "/sessions/s/runs/r", None),
    ("DELETE", "/sessions", {"session_ids": ["s"], "session_types": ["agent"]}),
]


def fill(house: House) -> None:
    """Both Olga and Sten have a session of one id."""
    house.clear()
    house.add_run(OWNER, "s", "r", asked="Olga's question")
    house.add_session(STRANGER, "s", first_input="Sten's question")


class TestAdministrator:
    def test_lists_everybodys_sessions_and_whose_they_are(self, house: House) -> None:
        fill(house)
        rows = house.admin().get("/sessions").json()["data"]
        assert sorted(row["user_id"] for row in rows) == [OWNER, STRANGER]
        (row,) = house.admin().get("/sessions", user_id=STRANGER).json()["data"]
        assert row["session_name"] == "Sten's question"

    @pytest.mark.parametrize(("method", "path", "body"), ROUTES)
    def test_an_id_that_several_use_is_409_and_nothing_is_done(
        self, house: House, method: str, path: str, body: Any
    ) -> None:
        fill(house)
        before = [house.session(name, "s") for name in (OWNER, STRANGER)]
        answer = house.admin().send(method, path, body)
        assert answer.status_code == 409
        assert answer.json() == {
            "detail": "2 users have a session with id 's'; say whose with user_id"
        }
        assert [house.session(name, "s") for name in (OWNER, STRANGER)] == before

    @pytest.mark.parametrize(("method", "path", "body"), ROUTES)
    def test_the_user_can_be_named(self, house: House, method: str, path: str, body: Any) -> None:
        fill(house)
        stens = house.session(STRANGER, "s")
        answer = house.admin().send(method, path, body, user_id=OWNER)
        assert answer.status_code in {200, 204}
        assert "Sten" not in answer.text
        assert house.session(STRANGER, "s") == stens
        assert (house.session(OWNER, "s") is None) is (method == "DELETE")

    @pytest.mark.parametrize(("method", "path", "body"), ROUTES)
    def test_a_user_who_has_none_is_as_an_unknown_id(
        self, house: House, method: str, path: str, body: Any
    ) -> None:
        fill(house)
        answer = house.admin().send(method, path, body, user_id="nobody")
        assert answer.status_code == (204 if method == "DELETE" else 404)
        assert house.session(OWNER, "s") is not None

    def test_their_own_comes_first(self, house: House) -> None:
        fill(house)
        house.add_session(ADMIN, "s", session_name="Ada's")
        assert house.admin().get("/sessions/s").json()["session_name"] == "Ada's"

    def test_one_of_many_that_is_not_clear_deletes_none(self, house: House) -> None:
        fill(house)
        house.add_session(OWNER, "clear")
        body = {"session_ids": ["clear", "s"], "session_types": ["agent", "agent"]}
        assert house.admin().send("DELETE", "/sessions", body).status_code == 409
        assert house.session(OWNER, "clear") is not None

    def test_a_session_can_be_made_for_a_user(self, house: House) -> None:
        body = {"session_id": "made", "user_id": OWNER}
        made = house.admin().send("POST", "/sessions", body)
        assert made.json()["user_id"] == OWNER
        assert house.somebody(OWNER).get("/sessions/made").status_code == 200

    def test_a_session_is_their_own_where_no_user_is_named(self, house: House) -> None:
        made = house.admin().send("POST", "/sessions", {"session_id": "made"})
        assert made.json()["user_id"] == ADMIN
        assert house.somebody(OWNER).get("/sessions/made").status_code == 404
