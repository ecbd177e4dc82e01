"""Service accounts over HTTP: nobody grants what they do not hold, and a token is shown once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support.live import LiveServer, serve
from tests.support.world import ADMIN, OWNER, World

WORLD = World()
MINTER = "service_accounts:write"


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with serve(WORLD.agent_os().get_app()) as live:
        yield live


class Accounts:
    """Calls of the routes."""

    def __init__(self, server: LiveServer) -> None:
        self.url = f"{server.url}/service-accounts"
        self.root = server.url
        self.made = 0

    def create(self, headers: dict[str, str] | None = None, **asked: Any) -> httpx.Response:
        self.made += 1
        body = {"name": f"robot-{time.time_ns()}-{self.made}", **asked}
        return httpx.post(self.url, json=body, headers=headers or WORLD.admin())

    def rotate(self, account: str, headers: dict[str, str] | None = None, **asked: Any) -> Any:
        headers = headers or WORLD.admin()
        return httpx.post(f"{self.url}/{account}/rotate", json=asked, headers=headers)

    def agents(self, token: str) -> int:
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.get(f"{self.root}/agents", headers=headers).status_code


@pytest.fixture
def accounts(server: LiveServer) -> Accounts:
    return Accounts(server)


def scopes(*names: str) -> list[dict[str, str]]:
    return [{"scope": name} for name in names]


class TestMaking:
    def test_the_token_opens_what_was_granted_and_nothing_else(self, accounts: Accounts) -> None:
        answer = accounts.create(scopes=scopes("agents:read"))
        assert answer.status_code == 201
        made = answer.json()
        assert made["token"].startswith(made["token_prefix"])
        assert made["token"].startswith("licet_sa_")
        assert made["principal"] == f"sa:{made['name']}"
        assert made["created_by"] == ADMIN
        assert 89 * 86_400 < made["expires_at"] - made["created_at"] <= 90 * 86_400
        assert accounts.agents(made["token"]) == 200
        bearer = {"Authorization": f"Bearer {made['token']}"}
        assert httpx.get(f"{accounts.root}/sessions", headers=bearer).status_code == 403

    def test_it_is_shown_in_no_list(self, accounts: Accounts) -> None:
        made = accounts.create(scopes=[]).json()
        answer = httpx.get(accounts.url, headers=WORLD.admin(), params={"limit": 100})
        assert made["id"] in [account["id"] for account in answer.json()["data"]]
        assert made["token"] not in answer.text
        assert all("token" not in account for account in answer.json()["data"])

    def test_scopes_look_as_clients_know_them(self, accounts: Accounts) -> None:
        made = accounts.create(scopes=["agents:alpha:run", {"scope": "config:read"}]).json()
        assert [
            (s["raw"], s["namespace"], s["sub_namespace"], s["permission"]) for s in made["scopes"]
        ] == [
            ("agents:alpha:run", "agents", "alpha", "run"),
            ("config:read", "config", None, "read"),
        ]

    def test_without_scopes_it_gets_the_usual_ones(self, accounts: Accounts) -> None:
        made = accounts.create().json()
        assert "agents:run" in [scope["raw"] for scope in made["scopes"]]

    def test_runs_are_the_accounts_own(self, accounts: Accounts) -> None:
        made = accounts.create(scopes=scopes("agents:run", "sessions:read")).json()
        bearer = {"Authorization": f"Bearer {made['token']}"}
        run = {"message": "hi", "stream": "false", "session_id": "mine"}
        answer = httpx.post(f"{accounts.root}/agents/alpha/runs", data=run, headers=bearer)
        assert answer.json()["user_id"] == made["principal"]
        found = httpx.get(f"{accounts.root}/sessions/mine", headers=bearer)
        assert found.status_code == 200
        # A token of an issuer with that very name as subject is not taken at all.
        forged = WORLD.bearer(made["principal"], "sessions:read")
        assert httpx.get(f"{accounts.root}/sessions/mine", headers=forged).status_code == 401

    def test_the_last_use_is_noted(self, accounts: Accounts) -> None:
        made = accounts.create(scopes=scopes("agents:read")).json()
        assert "last_used_at" not in made
        assert accounts.agents(made["token"]) == 200
        deadline = time.monotonic() + 20
        while True:
            answer = httpx.get(accounts.url, headers=WORLD.admin(), params={"limit": 100})
            (listed,) = [a for a in answer.json()["data"] if a["id"] == made["id"]]
            if "last_used_at" in listed:
                break
            assert time.monotonic() < deadline, "the use was not noted"
        assert abs(listed["last_used_at"] - time.time()) < 60


class TestNobodyGrantsWhatTheyDoNotHold:
    @pytest.mark.parametrize(
        ("held", "asked"),
        [
            ((MINTER,), "agents:run"),
            ((MINTER, "agents:alpha:run"), "agents:run"),
            ((MINTER, "agents:alpha:run"), "agents:*:run"),
            ((MINTER, "agents:alpha:run"), "agents:beta:run"),
            ((MINTER, "agents:run"), "agents:read"),
            ((MINTER, "agents:run"), "agent_os:admin"),
            (("service_accounts:write", "sessions:write"), "sessions:delete"),
        ],
    )
    def test_more_than_is_held(self, accounts: Accounts, held: tuple[str, ...], asked: str) -> None:
        answer = accounts.create(
            WORLD.bearer(OWNER, *held), scopes=scopes(asked), allow_privileged_scopes=True
        )
        assert answer.status_code == 403
        assert answer.json()["detail"] == f"Cannot grant scope(s) you do not hold: {asked}"

    @pytest.mark.parametrize(
        ("held", "asked"),
        [
            ("agents:run", "agents:run"),
            ("agents:run", "agents:alpha:run"),
            ("agents:alpha:run", "agents:alpha:run"),
            ("agent_os:admin", "agent_os:admin"),
        ],
    )
    def test_what_is_held(self, accounts: Accounts, held: str, asked: str) -> None:
        answer = accounts.create(
            WORLD.bearer(OWNER, MINTER, held), scopes=scopes(asked), allow_privileged_scopes=True
        )
        assert answer.status_code == 201

    @pytest.mark.parametrize("asked", ["agent_os:admin", "sessions:delete", "sessions:s1:write"])
    def test_privileged_scopes_are_asked_for_by_name(self, accounts: Accounts, asked: str) -> None:
        answer = accounts.create(scopes=scopes("agents:run", asked))
        assert answer.status_code == 400
        assert answer.json()["detail"] == (
            f"Privileged scope(s) require allow_privileged_scopes=true: {asked}"
        )

    def test_an_account_makes_no_other_and_gives_itself_no_new_token(
        self, accounts: Accounts
    ) -> None:
        made = accounts.create(scopes=scopes(MINTER), allow_privileged_scopes=True).json()
        bearer = {"Authorization": f"Bearer {made['token']}"}
        assert accounts.create(bearer, scopes=[]).status_code == 403
        assert accounts.rotate(made["id"], bearer).status_code == 403

    def test_who_rotates_an_account_holds_what_it_holds(self, accounts: Accounts) -> None:
        made = accounts.create(scopes=scopes("agents:run")).json()
        answer = accounts.rotate(made["id"], WORLD.bearer(OWNER, MINTER))
        assert answer.status_code == 403
        assert accounts.rotate(made["id"], WORLD.bearer(OWNER, MINTER, "agents:run")).is_success


class TestWhatIsNotTaken:
    @pytest.mark.parametrize(
        ("asked", "status", "said"),
        [
            ({"name": None}, 422, "name"),
            ({"name": "Robot"}, 422, "name"),
            ({"name": "-robot"}, 422, "name"),
            ({"name": "r" * 64}, 422, "name"),
            ({"name": "robot\n"}, 422, "name"),
            ({"name": 7}, 422, "name"),
            ({"name": "f81d4fae-7dec-41d0-a765-00a0c91e6bf6"}, 422, "of the form of an id"),
            ({"name": "00000000-0000-0000-0000-000000000000"}, 422, "of the form of an id"),
            ({"scopes": scopes("bogus")}, 400, "Invalid scope(s): bogus"),
            ({"scopes": scopes("agents:fly", "x:y")}, 400, "Invalid scope(s): agents:fly, x:y"),
            ({"scopes": "agents:run"}, 422, "scopes"),
            ({"scopes": [{"scope": "agents:run", "effect": "deny"}]}, 422, "effect"),
            ({"scopes": [{"effect": "allow"}]}, 422, "scopes"),
            ({"scopes": [7]}, 422, "scopes"),
            ({"scopes": ["s" * 301]}, 422, "300"),
            ({"scopes": ["agents:run"] * 201}, 422, "200"),
            ({"expires_in_days": 0}, 422, "expires_in_days"),
            ({"expires_in_days": 3651}, 422, "expires_in_days"),
            ({"expires_in_days": True}, 422, "expires_in_days"),
            ({"expires_in_days": 1.5}, 422, "expires_in_days"),
            ({"expires_in_days": 5, "never_expires": True}, 422, "never_expires"),
            ({"allow_privileged_scopes": "maybe"}, 422, "allow_privileged_scopes"),
        ],
    )
    def test_it_is_refused_and_named(
        self, accounts: Accounts, asked: dict[str, Any], status: int, said: str
    ) -> None:
        answer = accounts.create(**asked)
        assert answer.status_code == status
        assert said in answer.text

    def test_a_name_that_is_another_accounts_id(self, accounts: Accounts) -> None:
        made = accounts.create(scopes=[]).json()
        answer = accounts.create(name=made["id"], scopes=[])
        assert answer.status_code == 422
        assert "of the form of an id" in answer.text
        for name in (made["id"].replace("-", ""), made["id"] + "-", "a" + made["id"]):
            assert accounts.create(name=name, scopes=[]).status_code == 201

    def test_a_name_that_an_active_account_has(self, accounts: Accounts) -> None:
        made = accounts.create(scopes=[]).json()
        again = accounts.create(name=made["name"], scopes=[])
        assert again.status_code == 409
        assert made["name"] in again.json()["detail"]
        revoked = httpx.delete(f"{accounts.url}/{made['id']}", headers=WORLD.admin())
        assert revoked.status_code == 204
        assert accounts.create(name=made["name"], scopes=[]).status_code == 201


class TestRotation:
    def test_both_tokens_are_good_during_the_overlap(self, accounts: Accounts) -> None:
        made = accounts.create(scopes=scopes("agents:read")).json()
        rotated = accounts.rotate(made["id"], overlap_seconds=600)
        assert rotated.status_code == 201
        tokens = {made["token"], rotated.json()["token"]}
        assert len(tokens) == 2
        assert [accounts.agents(token) for token in tokens] == [200, 200]
        assert rotated.json()["id"] == made["id"]

    def test_without_an_overlap_the_old_one_ends_at_once(self, accounts: Accounts) -> None:
        made = accounts.create(scopes=scopes("agents:read")).json()
        rotated = accounts.rotate(made["id"], overlap_seconds=0).json()
        assert accounts.agents(made["token"]) == 401
        assert accounts.agents(rotated["token"]) == 200

    def test_a_second_rotation_ends_the_first_token(self, accounts: Accounts) -> None:
        first = accounts.create(scopes=scopes("agents:read")).json()
        second = accounts.rotate(first["id"]).json()
        third = accounts.rotate(first["id"]).json()
        found = [accounts.agents(made["token"]) for made in (first, second, third)]
        assert found == [401, 200, 200]

    def test_it_lives_ninety_days_from_then_or_as_long_as_is_said(self, accounts: Accounts) -> None:
        made = accounts.create(scopes=[], expires_in_days=1).json()
        cases: list[tuple[dict[str, Any], int]] = [({}, 90), ({"expires_in_days": 7}, 7)]
        for asked, days in cases:
            rotated = accounts.rotate(made["id"], **asked).json()
            assert abs(rotated["expires_at"] - time.time() - days * 86_400) < 60
        never = accounts.create(scopes=[], never_expires=True).json()
        assert "expires_at" not in never
        assert "expires_at" not in accounts.rotate(never["id"]).json()

    @pytest.mark.parametrize("overlap", [-1, 2_592_001, "an hour", True])
    def test_an_overlap_that_is_none(self, accounts: Accounts, overlap: object) -> None:
        made = accounts.create(scopes=[]).json()
        answer = accounts.rotate(made["id"], overlap_seconds=overlap)
        assert answer.status_code == 422
        assert "overlap_seconds" in answer.text

    def test_no_account_no_rotation(self, accounts: Accounts) -> None:
        assert accounts.rotate("nobody").status_code == 404
        made = accounts.create(scopes=[]).json()
        httpx.delete(f"{accounts.url}/{made['id']}", headers=WORLD.admin())
        assert accounts.rotate(made["id"]).status_code == 404


class TestRevoking:
    def test_it_ends_at_once_and_for_good(self, accounts: Accounts) -> None:
        made = accounts.create(scopes=scopes("agents:read")).json()
        assert accounts.agents(made["token"]) == 200
        for _ in range(2):
            answer = httpx.delete(f"{accounts.url}/{made['id']}", headers=WORLD.admin())
            assert answer.status_code == 204
        assert accounts.agents(made["token"]) == 401
        listed = httpx.get(accounts.url, headers=WORLD.admin(), params={"limit": 100}).json()
        assert made["id"] not in [account["id"] for account in listed["data"]]
        query: dict[str, Any] = {"limit": 100, "include_revoked": "true"}
        listed = httpx.get(accounts.url, headers=WORLD.admin(), params=query).json()
        (found,) = [account for account in listed["data"] if account["id"] == made["id"]]
        assert abs(found["revoked_at"] - time.time()) < 60

    def test_an_unknown_one_is_404(self, accounts: Accounts) -> None:
        answer = httpx.delete(f"{accounts.url}/nobody", headers=WORLD.admin())
        assert answer.status_code == 404
        assert answer.json() == {"detail": "Service account 'nobody' not found"}

    def test_it_dies_with_whoever_made_it_for_good(self, accounts: Accounts) -> None:
        boss = WORLD.bearer("boss", MINTER, "agents:read")
        made = accounts.create(boss, scopes=scopes("agents:read")).json()
        other = accounts.create(scopes=scopes("agents:read")).json()
        revoked = httpx.post(
            f"{accounts.root}/revocations", json={"subject": "boss"}, headers=WORLD.admin()
        )
        assert revoked.status_code == 201
        assert accounts.agents(made["token"]) == 401
        assert accounts.agents(other["token"]) == 200
        taken_back = httpx.delete(
            f"{accounts.root}/revocations/{revoked.json()['id']}", headers=WORLD.admin()
        )
        assert taken_back.status_code == 204
        assert accounts.agents(made["token"]) == 401


def test_pages_and_orders(accounts: Accounts) -> None:
    names = sorted(accounts.create(scopes=[]).json()["name"] for _ in range(3))
    query: dict[str, Any] = {
        "sort_by": "name",
        "sort_order": "desc",
        "limit": 2,
        "include_revoked": "true",
    }
    first = httpx.get(accounts.url, headers=WORLD.admin(), params=query).json()
    assert len(first["data"]) == 2
    assert first["meta"]["total_count"] >= 3
    query = {"sort_by": "created_at", "sort_order": "desc", "limit": 3}
    latest = httpx.get(accounts.url, headers=WORLD.admin(), params=query).json()
    assert sorted(account["name"] for account in latest["data"]) == names


def test_an_open_server_makes_none_and_has_none_to_revoke() -> None:
    from licet.db.in_memory import InMemoryDb
    from licet.os import AgentOS

    with serve(AgentOS(db=InMemoryDb()).get_app()) as live:
        answer = httpx.post(f"{live.url}/service-accounts", json={"name": "robot"})
        unknown = httpx.delete(f"{live.url}/service-accounts/robot")
    assert unknown.status_code == 404
    assert answer.status_code == 401
    assert answer.json()["detail"] == "JWT authentication is required to mint a service account."
