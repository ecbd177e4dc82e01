"""Sessions over HTTP: listed, created, read; each one its owner's."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.support.house import House
from tests.support.world import OWNER, STRANGER

ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def ids(answer: Any) -> list[str]:
    """The ids of a page, in their order."""
    return [session["session_id"] for session in answer.json()["data"]]


class TestLists:
    def test_an_empty_list_is_a_page_too(self, house: House) -> None:
        body = house.somebody(OWNER).get("/sessions").json()
        taken = body["meta"].pop("search_time_ms")
        assert body == {
            "data": [],
            "meta": {"page": 1, "limit": 20, "total_pages": 0, "total_count": 0},
        }
        assert taken >= 0

    def test_a_row_has_what_clients_read_and_no_nulls(self, house: House) -> None:
        house.add_session(OWNER, "bare", at=1_700_000_000)
        house.add_session(
            OWNER,
            "full",
            at=1_700_000_001.5,
            session_name="Named",
            session_state={"a": [1]},
            metadata={"k": "v"},
            summary={"summary": "short"},
        )
        full, bare = house.somebody(OWNER).get("/sessions").json()["data"]
        assert bare == {
            "session_id": "bare",
            "session_name": "",
            "session_state": {},
            "created_at": "2023-11-14T22:13:20Z",
            "updated_at": "2023-11-14T22:13:20Z",
            "session_type": "agent",
            "user_id": OWNER,
            "agent_id": "alpha",
        }
        assert full == {
            **bare,
            "session_id": "full",
            "session_name": "Named",
            "session_state": {"a": [1]},
            "metadata": {"k": "v"},
            "session_summary": {"summary": "short"},
            "created_at": "2023-11-14T22:13:21Z",
            "updated_at": "2023-11-14T22:13:21Z",
        }

    def test_a_session_without_a_name_is_called_by_its_first_message(self, house: House) -> None:
        house.add_session(OWNER, "s", first_input="What is a licence?")
        (row,) = house.somebody(OWNER).get("/sessions").json()["data"]
        assert row["session_name"] == "What is a licence?"

    @pytest.mark.parametrize(
        ("params", "expected"),
        [
            ({}, ["c", "a", "b"]),
            ({"sort_order": "asc"}, ["b", "a", "c"]),
            ({"sort_by": "updated_at"}, ["b", "c", "a"]),
            ({"sort_by": "updated_at", "sort_order": "asc"}, ["a", "c", "b"]),
            ({"sort_by": "session_name", "sort_order": "asc"}, ["c", "b", "a"]),
            ({"sort_by": "user_id; DROP TABLE"}, ["c", "a", "b"]),
        ],
    )
    def test_sort_orders(self, house: House, params: dict[str, str], expected: list[str]) -> None:
        for name, made, changed, called in (("a", 2, 4, "z"), ("b", 1, 9, "Y"), ("c", 3, 5, "x")):
            house.add_session(
                OWNER, name, at=made, updated_at_us=changed * 1_000_000, session_name=called
            )
        assert ids(house.somebody(OWNER).get("/sessions", **params)) == expected

    def test_pages_hold_every_session_once(self, house: House) -> None:
        for number in range(7):
            house.add_session(OWNER, f"s{number}", at=5)
        olga = house.somebody(OWNER)
        pages = [olga.get("/sessions", limit=3, page=page) for page in (1, 2, 3)]
        assert [len(ids(page)) for page in pages] == [3, 3, 1]
        found = {session_id for page in pages for session_id in ids(page)}
        assert found == {f"s{number}" for number in range(7)}
        for number, page in enumerate(pages, start=1):
            meta = page.json()["meta"]
            assert (meta["page"], meta["limit"]) == (number, 3)
            assert (meta["total_pages"], meta["total_count"]) == (3, 7)

    @pytest.mark.parametrize("page", [2, 1_000_000])
    def test_a_page_past_the_end_is_empty_and_tells_the_totals(
        self, house: House, page: int
    ) -> None:
        house.add_session(OWNER, "s")
        answer = house.somebody(OWNER).get("/sessions", page=page)
        assert answer.status_code == 200
        body = answer.json()
        assert body["data"] == []
        assert (body["meta"]["total_count"], body["meta"]["total_pages"]) == (1, 1)

    @pytest.mark.parametrize(
        ("params", "expected"),
        [
            ({"type": "agent"}, ["one", "two"]),
            ({"type": "team"}, ["crew"]),
            ({"type": "workflow"}, []),
            ({"component_id": "alpha"}, ["one"]),
            ({"component_id": "alph"}, []),
            ({"type": "agent", "component_id": "squad"}, []),
            ({"session_name": "REPORT"}, ["one", "two"]),
            ({"session_name": "100%"}, ["two"]),
            ({"session_name": "_"}, []),
            ({"session_name": "", "component_id": "", "user_id": ""}, ["crew", "one", "two"]),
            ({"user_id": OWNER}, ["crew", "one", "two"]),
            ({"user_id": STRANGER}, []),
        ],
    )
    def test_filters(self, house: House, params: dict[str, str], expected: list[str]) -> None:
        house.add_session(OWNER, "one", session_name="Report of May")
        house.add_session(OWNER, "two", session_name="report: 100% done", component_id="beta")
        house.add_session(OWNER, "crew", session_type="team", component_id="squad")
        house.add_session(STRANGER, "foreign", session_name="Report")
        answer = house.somebody(OWNER).get("/sessions", **params)
        assert sorted(ids(answer)) == expected
        assert answer.json()["meta"]["total_count"] == len(expected)

    def test_scopes_for_single_sessions_show_those_alone(self, house: House) -> None:
        for name in ("a", "b", "c"):
            house.add_session(OWNER, name)
        some = house.somebody(OWNER, "sessions:a:read", "sessions:c:read", "sessions:b:write")
        answer = some.get("/sessions")
        assert sorted(ids(answer)) == ["a", "c"]
        assert answer.json()["meta"]["total_count"] == 2
        assert house.somebody(STRANGER, "sessions:a:read").get("/sessions").json()["data"] == []

    @pytest.mark.parametrize(
        "params",
        [
            {"page": 0},
            {"page": -1},
            {"page": "first"},
            {"page": 10**30},
            {"limit": 0},
            {"limit": 1001},
            {"limit": ""},
            {"type": "crowd"},
            {"sort_order": "sideways"},
            {"session_name": "a\0b"},
            {"session_name": "x" * 1001},
            {"component_id": "\0"},
            {"user_id": "\0"},
        ],
    )
    def test_what_cannot_be_meant_is_422_and_named(
        self, house: House, params: dict[str, Any]
    ) -> None:
        answer = house.somebody(OWNER).get("/sessions", **params)
        assert answer.status_code == 422
        (problem,) = answer.json()["detail"]
        assert problem["loc"] == ["query", *params]


class TestDatabases:
    def test_each_database_has_its_own_sessions(self, house: House) -> None:
        house.add_session(OWNER, "here")
        house.add_session(OWNER, "there", house.second, component_id="beta")
        olga = house.somebody(OWNER)
        assert ids(olga.get("/sessions")) == ["here"]
        assert ids(olga.get("/sessions", db_id="main")) == ["here"]
        assert ids(olga.get("/sessions", db_id="second")) == ["there"]
        assert olga.get("/sessions/there").status_code == 404
        detail = olga.get("/sessions/there", db_id="second").json()
        assert detail["agent_data"]["agent_id"] == "beta"

    def test_the_databases_are_those_of_the_config_and_of_the_agents(self, house: House) -> None:
        reader = house.somebody(OWNER, "config:read", "agents:read")
        assert reader.get("/config").json()["databases"] == ["main", "second"]
        assert [a["db_id"] for a in reader.get("/agents").json()] == ["main", "second"]

    def test_changes_go_to_the_database_that_is_named(self, house: House) -> None:
        olga = house.somebody(OWNER)
        made = olga.send("POST", "/sessions", {"session_id": "s"}, db_id="second")
        assert made.status_code == 201
        assert house.session(OWNER, "s") is None
        renamed = olga.send("POST", "/sessions/s/rename", {"session_name": "there"}, db_id="second")
        assert renamed.json()["session_name"] == "there"
        assert olga.get("/sessions/s/runs", db_id="second").json() == []
        assert olga.send("DELETE", "/sessions/s", db_id="second").status_code == 204
        assert house.session(OWNER, "s", house.second) is None

    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("GET", "/sessions", None),
            ("POST", "/sessions", {}),
            ("DELETE", "/sessions", {"session_ids": ["s"], "session_types": ["agent"]}),
            ("GET", "/sessions/s", None),
            ("PATCH", "/sessions/s", {}),
            ("DELETE", "/sessions/s", None),
            ("POST", "/sessions/s/rename", {"session_name": "x"}),
            ("GET", "/sessions/s/runs", None),
            ("GET", "/sessions/s/run-previews", None),
            ("GET", "/sessions/s/runs/r", None),
        ],
    )
    def test_an_unknown_database_is_404_on_every_route(
        self, house: House, method: str, path: str, body: Any
    ) -> None:
        answer = house.somebody(OWNER).send(method, path, body, db_id="third")
        assert answer.status_code == 404
        assert answer.json() == {"detail": "No database found with id 'third'"}


class TestCreating:
    def test_everything_that_is_given_is_kept(self, house: House) -> None:
        given = {
            "session_id": "mine",
            "session_name": "Plans",
            "session_state": {"step": 1},
            "metadata": {"colour": "blue"},
            "agent_id": "alpha",
        }
        olga = house.somebody(OWNER)
        answer = olga.send("POST", "/sessions", given)
        body = answer.json()
        assert answer.status_code == 201
        assert ISO.fullmatch(body.pop("created_at"))
        assert ISO.fullmatch(body.pop("updated_at"))
        assert body == {
            **given,
            "user_id": OWNER,
            "agent_session_id": "mine",
            "session_type": "agent",
            "agent_data": {
                "agent_id": "alpha",
                "name": "Alpha",
                "model": {"id": "scripted", "provider": "licet"},
            },
            "total_tokens": 0,
            "chat_history": [],
        }
        assert olga.get("/sessions/mine").json() == answer.json()

    @pytest.mark.parametrize("body", [None, {}, {"session_id": None}, {"session_id": ""}])
    def test_nothing_has_to_be_given(self, house: House, body: Any) -> None:
        made = house.somebody(OWNER).send("POST", "/sessions", body)
        assert made.status_code == 201
        session_id = made.json()["session_id"]
        assert len(session_id) == 36
        assert house.session(OWNER, session_id) is not None

    @pytest.mark.parametrize("kind", ["team", "workflow"])
    def test_a_session_of_another_type_names_its_own_component(
        self, house: House, kind: str
    ) -> None:
        given = {"session_id": "s", f"{kind}_id": "anything", "agent_id": "alpha"}
        body = house.somebody(OWNER).send("POST", "/sessions", given, type=kind).json()
        assert (body["session_type"], body[f"{kind}_id"]) == (kind, "anything")
        assert not {"agent_id", "agent_data", "agent_session_id"} & set(body)

    def test_a_second_one_of_that_id_is_409_and_changes_nothing(self, house: House) -> None:
        olga = house.somebody(OWNER)
        olga.send("POST", "/sessions", {"session_id": "s2", "session_name": "first"})
        before = house.session(OWNER, "s2")
        again = olga.send("POST", "/sessions", {"session_id": "s2", "session_name": "second"})
        assert again.status_code == 409
        assert again.json() == {
            "detail": "Session with id 's2' already exists. Use PATCH /sessions/s2 to update it."
        }
        assert house.session(OWNER, "s2") == before

    def test_an_id_that_somebody_else_uses_is_free(self, house: House) -> None:
        house.add_session(OWNER, "s", session_name="Olga's")
        made = house.somebody(STRANGER).send("POST", "/sessions", {"session_id": "s"})
        assert made.status_code == 201
        assert "Olga" not in made.text
        mine = house.session(OWNER, "s")
        assert mine is not None
        assert mine.session_name == "Olga's"

    def test_it_is_the_callers_whatever_user_the_body_names(self, house: House) -> None:
        body = {"session_id": "s", "user_id": STRANGER}
        made = house.somebody(OWNER).send("POST", "/sessions", body)
        assert made.json()["user_id"] == OWNER
        assert house.session(STRANGER, "s") is None

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"session_id": "a\nb"}, "session_id"),
            ({"session_id": "a" * 256}, "session_id"),
            ({"session_id": "\U0001f600" * 255}, "session_id"),
            ({"session_id": 5}, "session_id"),
            ({"session_name": 5}, "session_name"),
            ({"session_name": "x" * 1001}, "session_name"),
            ({"session_name": "\0"}, "session_name"),
            ({"session_state": []}, "session_state"),
            ({"session_state": "{"}, "session_state"),
            ({"session_state": {"a": "\0"}}, "session_state"),
            ({"metadata": 1}, "metadata"),
            ({"user_id": {}}, "user_id"),
            ({"agent_id": ["alpha"]}, "agent_id"),
        ],
    )
    def test_what_cannot_be_kept_is_422_and_named(
        self, house: House, body: dict[str, Any], field: str
    ) -> None:
        answer = house.somebody(OWNER).send("POST", "/sessions", body)
        assert answer.status_code == 422
        (problem,) = answer.json()["detail"]
        assert problem["loc"] == ["body", field]
        assert problem["msg"].startswith("expected ")


class TestReading:
    def test_a_session_comes_with_its_conversation(self, house: House) -> None:
        house.add_run(OWNER, "s", "r1", asked="one?", content="one.", tokens=5, at=10)
        house.add_run(OWNER, "s", "r2", asked="two?", content="two.", tokens=7, at=11)
        body = house.somebody(OWNER).get("/sessions/s").json()
        said = [(message["role"], message["content"]) for message in body["chat_history"]]
        assert said == [
            ("user", "one?"),
            ("assistant", "one."),
            ("user", "two?"),
            ("assistant", "two."),
        ]
        assert body["total_tokens"] == 12
        assert body["session_name"] == "one?"
        assert body["agent_session_id"] == "s"
        assert body["agent_data"]["name"] == "Alpha"

    def test_a_session_of_an_agent_that_is_gone_can_be_read(self, house: House) -> None:
        house.add_session(OWNER, "s", component_id="gone")
        body = house.somebody(OWNER).get("/sessions/s").json()
        assert body["agent_id"] == "gone"
        assert "agent_data" not in body

    @pytest.mark.parametrize(
        ("params", "detail"),
        [
            ({}, "Session with id 'x' not found"),
            ({"type": "agent"}, "Agent Session with id 'x' not found"),
            ({"type": "team"}, "Team Session with id 'x' not found"),
            ({"type": "workflow"}, "Workflow Session with id 'x' not found"),
        ],
    )
    def test_an_unknown_and_a_foreign_id_are_the_same_404(
        self, house: House, params: dict[str, str], detail: str
    ) -> None:
        olga = house.somebody(OWNER)
        unknown = olga.get("/sessions/x", **params)
        house.add_session(STRANGER, "x")
        foreign = olga.get("/sessions/x", **params)
        assert unknown.status_code == foreign.status_code == 404
        assert unknown.json() == foreign.json() == {"detail": detail}

    @pytest.mark.parametrize(("kind", "status"), [("agent", 200), ("team", 404)])
    def test_the_type_is_looked_at_where_it_is_given(
        self, house: House, kind: str, status: int
    ) -> None:
        house.add_session(OWNER, "s")
        assert house.somebody(OWNER).get("/sessions/s", type=kind).status_code == status

    @pytest.mark.parametrize("path", ["/sessions/a%00b", "/sessions/%0a", f"/sessions/{'x' * 256}"])
    def test_what_is_no_id_is_422(self, house: House, path: str) -> None:
        for method in ("GET", "PATCH", "DELETE"):
            answer = house.somebody(OWNER).send(method, path, {})
            assert answer.status_code == 422
            assert answer.json()["detail"][0]["loc"] == ["path", "session_id"]
