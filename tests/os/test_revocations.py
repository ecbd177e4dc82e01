"""Revocations over HTTP: in force when the answer comes, listed, taken back."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import httpx
import pytest
import websockets.sync.client as ws
from fastapi import FastAPI, WebSocket
from websockets.exceptions import ConnectionClosed

from licet.authn.issuer import TrustedIssuer
from licet.errors import StorageError
from licet.os import Settings
from licet.testing import Say, ScriptedModel, TokenFactory
from tests.support.live import LiveServer, serve
from tests.support.world import ISSUER, OWNER, STRANGER, IssuerTokens, World

PARTNER, PARTNERS_KEY = "https://partner.test", TokenFactory(fresh_key=True)


class Never:
    """A gate that stays closed."""

    async def wait(self) -> object:
        return await asyncio.Event().wait()


def world_with_two_issuers() -> World:
    hanging = ScriptedModel(
        [Say("one two", hold=Never(), hold_after=1)], when_exhausted="repeat_last"
    )
    return World(tokens=IssuerTokens(), model=hanging)


WORLD = world_with_two_issuers()


def config(**more: Any) -> dict[str, Any]:
    partner = TrustedIssuer(
        alias="partner", issuer=PARTNER, verification_keys=[PARTNERS_KEY.public_key]
    )
    return {"issuer": ISSUER, "issuers": [partner], **more}


def mine() -> FastAPI:
    app = FastAPI()

    @app.websocket("/live")
    async def live(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("hello")
        await websocket.receive_text()

    return app


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    mappings: dict[str, Any] = {"scope_mappings": {"WEBSOCKET /live": []}}
    agent_os = WORLD.agent_os(config=config(**mappings), base_app=mine())
    with serve(agent_os.get_app()) as live:
        yield live


def revoke(server: LiveServer, **what: Any) -> httpx.Response:
    return httpx.post(f"{server.url}/revocations", json=what, headers=WORLD.admin())


def agents(server: LiveServer, headers: dict[str, str]) -> httpx.Response:
    return httpx.get(f"{server.url}/agents", headers=headers)


def partner(subject: str, **claims: Any) -> dict[str, str]:
    token = PARTNERS_KEY.token(subject, scopes=["agents:read"], iss=PARTNER, **claims)
    return {"Authorization": f"Bearer {token}"}


class TestWhatIsTakenBack:
    def test_one_token(self, server: LiveServer) -> None:
        stolen = WORLD.bearer("a", "agents:read", jti="stolen")
        other = WORLD.bearer("a", "agents:read", jti="other")
        assert agents(server, stolen).status_code == 200
        assert revoke(server, token_id="stolen", issuer="default").status_code == 201
        denied = agents(server, stolen)
        assert denied.status_code == 401
        assert denied.json() == {"detail": "Invalid token: the token was revoked"}
        assert 'error="invalid_token"' in denied.headers["www-authenticate"]
        assert agents(server, other).status_code == 200

    def test_one_token_of_one_issuer(self, server: LiveServer) -> None:
        assert revoke(server, token_id="shared", issuer="partner").status_code == 201
        assert agents(server, partner("b", jti="shared")).status_code == 401
        assert agents(server, WORLD.bearer("b", "agents:read", jti="shared")).status_code == 200

    def test_a_login_session(self, server: LiveServer) -> None:
        revoke(server, sid="s-1", issuer="default")
        assert agents(server, WORLD.bearer("c", "agents:read", sid="s-1")).status_code == 401
        assert agents(server, WORLD.bearer("c", "agents:read", sid="s-2")).status_code == 200
        assert agents(server, WORLD.bearer("c", "agents:read")).status_code == 200

    def test_everything_issued_to_a_subject_before(self, server: LiveServer) -> None:
        now = time.time()
        revoke(server, subject="d", issuer="default", issued_before=now - 100)
        for issued, status in ((now - 200, 401), (now - 100, 401), (now - 99, 200), (None, 401)):
            headers = WORLD.bearer("d", "agents:read", iat=issued)
            assert agents(server, headers).status_code == status, issued
        assert agents(server, partner("d", iat=now - 200)).status_code == 200

    def test_a_later_cutoff_stands_and_an_earlier_one_does_not(self, server: LiveServer) -> None:
        now = time.time()
        first = revoke(server, subject="e", issuer="default", issued_before=int(now) - 100).json()
        second = revoke(server, subject="e", issuer="default", issued_before=int(now) - 500).json()
        assert second["id"] == first["id"]
        assert second["issued_before"] == int(now) - 100

    def test_a_key(self, server: LiveServer) -> None:
        (partners,) = [i for i in agent_issuers(server) if i.alias == "partner"]
        key_id = partners.keys.keys[0].key_id
        assert agents(server, partner("f")).status_code == 200
        made = revoke(server, key_id=key_id, issuer="partner")
        denied = agents(server, partner("f"))
        assert denied.json() == {
            "detail": "Invalid token: the key that signed the token was revoked"
        }
        assert agents(server, WORLD.bearer("f", "agents:read")).status_code == 200
        undo = httpx.delete(f"{server.url}/revocations/{made.json()['id']}", headers=WORLD.admin())
        assert undo.status_code == 204
        assert agents(server, partner("f")).status_code == 200

    def test_a_service_account_by_its_name(self, server: LiveServer) -> None:
        made = httpx.post(
            f"{server.url}/service-accounts",
            json={"name": "leaky", "scopes": ["agents:read"]},
            headers=WORLD.admin(),
        ).json()
        bearer = {"Authorization": f"Bearer {made['token']}"}
        assert agents(server, bearer).status_code == 200
        answer = revoke(server, service_account="leaky", reason="in a public repository")
        assert (answer.json()["value"], answer.json()["kind"]) == (made["id"], "service_account")
        assert agents(server, bearer).json() == {
            "detail": "Invalid token: the service account was revoked"
        }

    def test_a_service_account_by_another_of_its_names_is_refused(self, server: LiveServer) -> None:
        made = httpx.post(
            f"{server.url}/service-accounts",
            json={"name": "called", "scopes": ["agents:read"]},
            headers=WORLD.admin(),
        ).json()
        for what in ({"subject": made["principal"]}, {"token_id": made["id"]}):
            answer = revoke(server, issuer="default", **what)
            assert answer.status_code == 422
            (problem,) = answer.json()["detail"]
            assert problem["loc"] == ["body", *what]
            assert "use service_account" in problem["msg"]
        bearer = {"Authorization": f"Bearer {made['token']}"}
        assert agents(server, bearer).status_code == 200
        assert revoke(server, service_account=made["id"]).status_code == 201
        assert agents(server, bearer).status_code == 401


def agent_issuers(_server: LiveServer) -> list[TrustedIssuer]:
    trust = WORLD.agent_os(config=config()).trust
    assert trust is not None
    return [issuer for issuer, _ in trust.issuers]


class TestTheList:
    def test_it_says_what_why_and_by_whom_and_can_be_asked_for_parts(
        self, server: LiveServer
    ) -> None:
        made = revoke(server, token_id="listed", issuer="default", reason="lost laptop").json()
        assert made["created_by"] == "default|ada"
        assert made["expires_at"] > time.time() + 365 * 86_400
        for query in ({"kind": "token", "issuer": "default", "value": "listed"}, {"limit": 1}):
            answer = httpx.get(f"{server.url}/revocations", params=query, headers=WORLD.admin())
            assert answer.json()["data"] == [made]
        query = {"kind": "subject", "value": "listed"}
        answer = httpx.get(f"{server.url}/revocations", params=query, headers=WORLD.admin())
        assert answer.json()["data"] == []

    def test_what_was_taken_back_is_gone(self, server: LiveServer) -> None:
        token = WORLD.bearer("g", "agents:read", jti="mistake")
        made = revoke(server, token_id="mistake", issuer="default").json()
        assert agents(server, token).status_code == 401
        where = f"{server.url}/revocations/{made['id']}"
        assert httpx.delete(where, headers=WORLD.admin()).status_code == 204
        assert httpx.delete(where, headers=WORLD.admin()).status_code == 404
        assert agents(server, token).status_code == 200
        revoke(server, token_id="mistake", issuer="default")
        assert agents(server, token).status_code == 401


class TestWhatIsNotTaken:
    @pytest.mark.parametrize(
        ("asked", "said"),
        [
            ({}, "exactly one of"),
            ({"token_id": "a", "subject": "b"}, "exactly one of"),
            ({"token_id": ""}, "token_id"),
            ({"token_id": 7}, "token_id"),
            ({"subject": "a\u0000"}, "subject"),
            ({"subject": "a" * 256}, "subject"),
            ({"token_id": "a"}, "one of: default, partner"),
            ({"token_id": "a", "issuer": "nobody"}, "one of: default, partner"),
            ({"token_id": "a", "issuer": "@service"}, "one of: default, partner"),
            ({"token_id": "a", "issuer": "default", "expires_at": 1}, "a time to come"),
            ({"token_id": "a", "issuer": "default", "expires_at": "soon"}, "expires_at"),
            ({"token_id": "a", "issuer": "default", "expires_at": 1e300}, "expires_at"),
            ({"subject": "a", "issuer": "default", "issued_before": True}, "issued_before"),
            (
                {"subject": "a", "issuer": "default", "issued_before": 253402300799},
                "seconds from now",
            ),
            ({"token_id": "a", "issuer": "default", "reason": "r" * 501}, "reason"),
        ],
    )
    def test_it_is_refused_and_named(
        self, server: LiveServer, asked: dict[str, Any], said: str
    ) -> None:
        answer = revoke(server, **asked)
        assert answer.status_code == 422
        assert said in answer.text

    def test_a_service_account_that_there_is_not(self, server: LiveServer) -> None:
        assert revoke(server, service_account="nobody").status_code == 404

    @pytest.mark.parametrize("query", [{"kind": "all"}, {"page": 0}, {"limit": 0}])
    def test_a_list_that_there_is_not(self, server: LiveServer, query: dict[str, Any]) -> None:
        answer = httpx.get(f"{server.url}/revocations", params=query, headers=WORLD.admin())
        assert answer.status_code == 422


class TestWhatIsUnderWay:
    def test_a_streamed_run_ends_and_says_why(self, server: LiveServer) -> None:
        headers = WORLD.bearer(OWNER, "agents:run", jti="streaming")
        run = {"message": "hi", "session_id": "streamed"}
        url = f"{server.url}/agents/alpha/runs"
        with httpx.stream("POST", url, data=run, headers=headers, timeout=30) as answer:
            lines = answer.iter_lines()
            assert any(line == "event: RunContent" for line in lines)
            revoke(server, token_id="streaming", issuer="default")
            data = [line for line in lines if line.startswith("data: ")]
        last = json.loads(data[-1].removeprefix("data: "))
        assert (last["event"], last["reason"]) == ("RunCancelled", "the token was revoked")

    def test_whoever_waits_for_a_run_gets_it_as_it_ended(self, server: LiveServer) -> None:
        headers = WORLD.bearer(OWNER, "agents:run", "sessions:read", jti="waiting")
        run = {"message": "hi", "stream": "false", "session_id": "waited"}
        answers: list[httpx.Response] = []

        def wait() -> None:
            url = f"{server.url}/agents/alpha/runs"
            answers.append(httpx.post(url, data=run, headers=headers, timeout=30))

        waiting = threading.Thread(target=wait)
        waiting.start()
        admin = WORLD.admin()
        where = {"params": {"user_id": OWNER}, "headers": admin}
        deadline = time.monotonic() + 20
        while httpx.get(f"{server.url}/sessions/waited", **where).status_code != 200:  # type: ignore[arg-type]  # as above
            assert time.monotonic() < deadline, "the run did not begin"
        revoke(server, token_id="waiting", issuer="default")
        waiting.join(20)
        (answer,) = answers
        assert answer.status_code == 200
        ended = answer.json()
        assert (ended["status"], ended["error_type"]) == ("CANCELLED", "revoked")
        assert ended["cancellation_reason"] == "the token was revoked"
        runs = httpx.get(f"{server.url}/sessions/waited/runs", **where).json()  # type: ignore[arg-type]  # as above
        assert [run["status"] for run in runs] == ["CANCELLED"]

    def test_a_stream_ends_with_the_service_token_that_opened_it(self, server: LiveServer) -> None:
        def post(path: str, **body: Any) -> dict[str, Any]:
            answer = httpx.post(f"{server.url}{path}", json=body, headers=WORLD.admin())
            assert answer.status_code == 201, answer.text
            made: dict[str, Any] = answer.json()
            return made

        def streaming(made: dict[str, Any]) -> AbstractContextManager[httpx.Response]:
            url, run = f"{server.url}/agents/alpha/runs", {"message": "hi"}
            headers = {"Authorization": f"Bearer {made['token']}"}
            return httpx.stream("POST", url, data=run, headers=headers, timeout=30)

        first = post("/service-accounts", name="streams", scopes=["agents:run"])
        rotate = f"/service-accounts/{first['id']}/rotate"
        with streaming(first) as answer:
            lines = answer.iter_lines()
            assert any(line == "event: RunContent" for line in lines)
            second = post(rotate, overlap_seconds=600)
            with streaming(second) as other:
                others = other.iter_lines()
                assert any(line == "event: RunContent" for line in others)
                third = post(rotate, overlap_seconds=600)
                # The first token is replaced twice, and good no more; the second one still is.
                data = [line for line in lines if line.startswith("data: ")]
                assert agents(server, {"Authorization": f"Bearer {first['token']}"}).is_error
                post(rotate, overlap_seconds=0)
                assert agents(server, {"Authorization": f"Bearer {third['token']}"}).is_error
                more = [line for line in others if line.startswith("data: ")]
        for last in (data[-1], more[-1]):
            said = json.loads(last.removeprefix("data: "))
            assert said["event"] == "RunCancelled"
            assert said["reason"] == "the service account has another token now"

    def test_a_websocket_of_ones_own_is_closed(self, server: LiveServer) -> None:
        headers = WORLD.bearer(STRANGER, jti="on the line")
        address = f"ws://{server.host}:{server.port}/live"
        with ws.connect(address, additional_headers=headers) as socket:
            assert socket.recv(timeout=20) == "hello"
            revoke(server, token_id="on the line", issuer="default")
            with pytest.raises(ConnectionClosed) as closed:
                socket.recv(timeout=20)
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "the token was revoked")


class TestAnAuthorityThatEndsWithTheToken:
    def test_a_stream_ends_when_the_token_expires(self) -> None:
        strict = config(run_authority="token", leeway_seconds=0)
        with serve(WORLD.agent_os(config=strict).get_app()) as live:
            headers = WORLD.bearer(OWNER, "agents:run", expires_in_seconds=4)
            url = f"{live.url}/agents/alpha/runs"
            with httpx.stream(
                "POST", url, data={"message": "hi"}, headers=headers, timeout=30
            ) as answer:
                data = [line for line in answer.iter_lines() if line.startswith("data: ")]
        last = json.loads(data[-1].removeprefix("data: "))
        assert (last["event"], last["reason"]) == ("RunCancelled", "the token has expired")


class TestADatabaseThatIsAway:
    def test_nobody_gets_in_who_may_have_been_revoked(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world = world_with_two_issuers()
        settings = Settings(revocations_max_age_seconds=0.2)
        agent_os = world.agent_os(config=config(), settings=settings)
        headers = world.bearer(OWNER, "agents:read")
        with serve(agent_os.get_app()) as live:
            assert agents(live, headers).status_code == 200

            async def away(*_: object, **__: object) -> int:
                raise StorageError("the database is away")

            with monkeypatch.context() as patched:
                patched.setattr(world.db, "watch", away)
                for reading in ("changes", "everything"):
                    patched.setattr(world.db.trust(), reading, away)
                deadline = time.monotonic() + 20
                while (denied := agents(live, headers)).status_code == 200:
                    assert time.monotonic() < deadline, "it was never noticed"
                assert denied.status_code == 503
                assert denied.headers["retry-after"] == "5"
                assert "revocations cannot be read" in denied.json()["detail"]
                assert httpx.get(f"{live.url}/health").status_code == 200
            while agents(live, headers).status_code != 200:
                assert time.monotonic() < deadline, "it never recovered"
