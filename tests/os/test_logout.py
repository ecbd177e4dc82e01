"""Back-channel logout: an issuer says that somebody has logged out, and it is so at once."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from licet.db.in_memory import InMemoryDb
from licet.os import AgentOS, AuthorizationConfig
from licet.testing import TokenFactory
from tests.support.live import LiveServer, serve, status_of
from tests.support.world import CLIENT_ID, ISSUER, OS_ID, IssuerTokens, World

TOKENS = IssuerTokens()
WORLD = World(tokens=TOKENS)
CONFIG = {"issuer": ISSUER, "oidc_client_id": CLIENT_ID}
FORM = {"content-type": "application/x-www-form-urlencoded"}
OTHER_KEY = TokenFactory(fresh_key=True)


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with serve(WORLD.agent_os(config=CONFIG).get_app()) as live:
        yield live


def log_out(server: LiveServer, token: str) -> httpx.Response:
    return httpx.post(f"{server.url}/oidc/backchannel-logout", data={"logout_token": token})


def agents(server: LiveServer, subject: str, **claims: Any) -> int:
    headers = WORLD.bearer(subject, "agents:read", **claims)
    return httpx.get(f"{server.url}/agents", headers=headers).status_code


def test_a_subject_is_logged_out_of_what_was_issued_before(server: LiveServer) -> None:
    before = time.time() - 5
    assert agents(server, "a", iat=before) == 200
    answer = log_out(server, TOKENS.logout_token(sub="a"))
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.content == b""
    assert agents(server, "a", iat=before) == 401
    assert agents(server, "a", iat=None) == 401
    assert agents(server, "a", iat=time.time() + 3) == 200
    assert agents(server, "b", iat=before) == 200


def test_a_session_is_logged_out_and_no_other(server: LiveServer) -> None:
    assert log_out(server, TOKENS.logout_token(sid="s-1")).status_code == 200
    assert agents(server, "c", sid="s-1") == 401
    assert agents(server, "c", sid="s-2") == 200
    assert agents(server, "c") == 200


def test_tokens_that_name_no_session_end_with_any_session_of_their_subject(
    server: LiveServer,
) -> None:
    before = time.time() - 5
    assert log_out(server, TOKENS.logout_token(sid="s-3", sub="d")).status_code == 200
    assert agents(server, "d", sid="s-3") == 401
    assert agents(server, "d", sid="s-4", iat=before) == 200
    assert agents(server, "d", iat=before) == 401
    assert agents(server, "e", iat=before) == 200


def test_a_logout_does_not_end_the_service_accounts_of_who_logs_out(server: LiveServer) -> None:
    boss = WORLD.bearer("boss", "service_accounts:write", "agents:read", iat=time.time() - 5)
    made = httpx.post(
        f"{server.url}/service-accounts",
        json={"name": "robot", "scopes": ["agents:read"]},
        headers=boss,
    ).json()
    assert log_out(server, TOKENS.logout_token(sub="boss")).status_code == 200
    assert httpx.get(f"{server.url}/agents", headers=boss).status_code == 401
    robot = {"Authorization": f"Bearer {made['token']}"}
    assert httpx.get(f"{server.url}/agents", headers=robot).status_code == 200


@pytest.mark.parametrize("sid", [None, "s-5"])
def test_a_logout_counts_by_the_clock_of_the_issuer_if_that_is_ahead(
    server: LiveServer, sid: str | None
) -> None:
    subject, ahead = f"h-{sid}", int(time.time()) + 8
    assert agents(server, subject, iat=ahead) == 200
    assert log_out(server, TOKENS.logout_token(sub=subject, sid=sid, iat=ahead)).status_code == 200
    assert agents(server, subject, iat=ahead) == 401
    assert agents(server, subject, iat=ahead + 1) == 200


def test_a_logout_counts_by_our_clock_if_that_is_ahead(server: LiveServer) -> None:
    behind = time.time() - 100
    assert log_out(server, TOKENS.logout_token(sub="i", iat=behind)).status_code == 200
    assert agents(server, "i", iat=behind + 50) == 401


def test_a_token_is_used_once(server: LiveServer) -> None:
    token = TOKENS.logout_token(sub="f")
    assert log_out(server, token).status_code == 200
    again = log_out(server, token)
    assert again.status_code == 400
    assert again.json() == {
        "error": "invalid_request",
        "error_description": "the logout token was used before (jti)",
    }
    assert again.headers["cache-control"] == "no-store"


NOW = time.time()


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (lambda: "junk", "three segments"),
        (lambda: "jünk", "no token"),
        (TOKENS.logout_token, "neither a subject"),
        (lambda: TOKENS.logout_token(sub="x", aud=OS_ID), "another client"),
        (lambda: TOKENS.logout_token(sub="x", aud=None), "another client"),
        (lambda: TOKENS.logout_token(sub="x", iss="https://evil.test"), "not trusted"),
        (lambda: TOKENS.logout_token(sub="x", iss=None), "not trusted"),
        (lambda: TOKENS.logout_token(sub="x", nonce="n"), "no nonce"),
        (lambda: TOKENS.logout_token(sub="x", events=None), "events"),
        (lambda: TOKENS.logout_token(sub="x", events={"other": {}}), "events"),
        (lambda: TOKENS.logout_token(sub="x", events=["logout"]), "events"),
        (lambda: TOKENS.logout_token(sub="x", jti=None), "jti"),
        (lambda: TOKENS.logout_token(sub="x", iat=None), "iat"),
        (lambda: TOKENS.logout_token(sub="x", exp=None), "exp"),
        (lambda: TOKENS.logout_token(sub="x", exp=NOW - 60), "expired"),
        (lambda: TOKENS.token("x", scopes=["agents:read"], aud=CLIENT_ID, jti="j"), "events"),
        (
            lambda: OTHER_KEY.sign(
                TOKENS.claims("x", aud=CLIENT_ID), headers={"typ": "logout+jwt"}
            ),
            "signature",
        ),
    ],
)
def test_what_does_not_verify_logs_nobody_out(
    server: LiveServer, token: Any, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "licet")
    answer = log_out(server, token())
    assert answer.status_code == 400
    assert reason in answer.json()["error_description"]
    assert agents(server, "x") == 200
    said = [record.getMessage() for record in caplog.records if "logout" in record.getMessage()]
    assert len(said) == 1
    assert "eyJ" not in caplog.text


@pytest.mark.parametrize(
    "sent",
    [
        {"json": {"logout_token": "x"}},
        {"data": {}},
        {"data": {"logout_token": ["a", "b"]}},
        {"content": b"logout_token=x", "headers": {"content-type": "text/plain"}},
        {"files": {"logout_token": b"x"}},
        {"content": b"logout_token=%ff", "headers": FORM},
        {"content": b"&" * 2000, "headers": FORM},
    ],
)
def test_only_a_form_with_one_token_is_read(
    server: LiveServer, sent: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "licet")
    answer = httpx.post(f"{server.url}/oidc/backchannel-logout", **sent)
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_request"
    assert caplog.text.count("refused a logout token (400): ") == 1


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain"])
@pytest.mark.parametrize("length", ["Content-Length: 10000000", "Transfer-Encoding: chunked"])
def test_no_more_is_read_than_a_token_can_have(server: LiveServer, length: str, kind: str) -> None:
    head = f"POST /oidc/backchannel-logout HTTP/1.1\r\nHost: x\r\n{length}\r\nContent-Type: {kind}"
    piece = b"a" * 8192
    sent = 0
    with socket.create_connection((server.host, server.port), timeout=20) as link:
        link.sendall(head.encode() + b"\r\n\r\n")
        # Until it answers: it has what it wants, and never asks for the rest.
        while not select.select([link], [], [], 0.05)[0]:
            assert sent < 512 * 1024
            link.sendall(b"2000\r\n" + piece + b"\r\n" if "chunked" in length else piece)
            sent += len(piece)
        answer = link.recv(65536)
    if kind == "text/plain":
        assert status_of(answer) == 400
        assert b"the body is not application/x-www-form-urlencoded" in answer
    else:
        assert status_of(answer) == 413
        assert b"larger than 65536 bytes" in answer
    assert b"connection: close" in answer.lower()


def test_a_token_of_the_largest_size_is_read(server: LiveServer) -> None:
    answer = log_out(server, TOKENS.logout_token(sub="x", pad="a" * 11_000, aud=OS_ID))
    assert "another client" in answer.json()["error_description"]
    escaped = "".join(f"%{ord(letter):02x}" for letter in "a" * 16_384)
    answer = httpx.post(
        f"{server.url}/oidc/backchannel-logout",
        content=f"logout_token={escaped}",
        headers={"content-type": "application/x-www-form-urlencoded"},
    )
    assert (answer.status_code, "three segments" in answer.text) == (400, True)


def test_while_the_keys_are_away_it_is_said_in_a_line(caplog: pytest.LogCaptureFixture) -> None:
    config = AuthorizationConfig(
        jwks_url="http://127.0.0.1:9/jwks", issuer=ISSUER, oidc_client_id=CLIENT_ID
    )
    agent_os = AgentOS(db=InMemoryDb(), authorization=True, authorization_config=config)
    with serve(agent_os.get_app()) as live:
        caplog.clear()
        caplog.set_level("INFO", "licet")
        for _ in range(3):
            answer = log_out(live, TOKENS.logout_token(sub="a"))
            assert answer.status_code == 503
            assert answer.json() == {
                "error": "temporarily_unavailable",
                "error_description": "the issuer's keys cannot be read at present",
            }
            assert answer.headers["retry-after"] == "5"
            assert answer.headers["cache-control"] == "no-store"
        said = [record for record in caplog.records if record.name == "licet.os.routes.logout"]
    assert [record.levelname for record in said] == ["INFO"] * 3
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_a_logout_token_opens_nothing(server: LiveServer) -> None:
    for audience in (CLIENT_ID, OS_ID):
        token = TOKENS.logout_token(sub="x", aud=audience, scopes=["agents:read"])
        headers = {"Authorization": f"Bearer {token}"}
        assert httpx.get(f"{server.url}/agents", headers=headers).status_code == 401


def test_the_route_is_there_only_where_an_issuer_knows_us() -> None:
    with serve(World().agent_os().get_app()) as live:
        answer = log_out(live, TOKENS.logout_token(sub="a"))
        assert answer.status_code == 401
        where = f"{live.url}/oidc/backchannel-logout"
        assert httpx.post(where, headers=World().admin()).status_code in {401, 404}
