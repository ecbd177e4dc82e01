"""A full run with tools, failures and audit; afterwards no secret stands anywhere."""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from licet.testing import TokenFactory
from tests.support.openai import scripted_openai
from tests.support.otlp import Received, otlp_receiver
from tests.support.process import Process, free_port, licet, running

TOKENS = TokenFactory()
API_KEY = "sk-secret-" + secrets.token_hex(16)
AUDIT_KEY = "audit-secret-" + secrets.token_hex(32)
HMAC_SECRET = "shared-secret-" + secrets.token_hex(32)
SCRIPT = {
    "rules": [
        {
            "match": "look",
            "answers": [
                {"tool_calls": [{"name": "look", "arguments": {"what": "7"}}]},
                {"text": "Seven is there."},
            ],
        },
        {
            "match": "break",
            "answers": [
                {"tool_calls": [{"name": "break_it", "arguments": {}}]},
                {"text": "It broke."},
            ],
        },
        {
            "match": "give",
            "answers": [
                {"tool_calls": [{"name": "give", "arguments": {"what": "7"}}]},
                {"text": "It is given."},
            ],
        },
        {"match": "fail", "answers": [{"status": 400, "error": "bad request of $KEY"}]},
    ]
}
PROGRAM = """
import json
import os

from licet.agent import Agent
from licet.context import RunContext
from licet.db.sqlite import SqliteDb
from licet.models.openai import OpenAIChat
from licet.os import AgentOS, AuditConfig, AuthorizationConfig, TokenSource
from licet.audit import FileSink, LogSink
from licet.os.config import TrustedIssuer
from licet.telemetry import Telemetry
from licet.tools import tool


@tool
def look(what: str, context: RunContext) -> str:
    \"\"\"Look for something.\"\"\"
    return repr(context) + repr(context.principal) + what


@tool
def break_it(context: RunContext) -> str:
    \"\"\"Break something.\"\"\"
    raise ValueError(repr(vars(context) if hasattr(context, "__dict__") else context))


@tool(approval="admin")
def give(what: str, context: RunContext) -> str:
    \"\"\"Give something away.\"\"\"
    return repr(context) + repr(context.principal) + what


agent_os = AgentOS(
    id="os",
    agents=[Agent(id="one", model=OpenAIChat(id="gpt-test"), tools=[look, break_it, give])],
    db=SqliteDb("os.db"),
    authorization=True,
    telemetry=Telemetry(),
    audit=AuditConfig(sinks=[FileSink("audit.jsonl"), LogSink()]),
    authorization_config=AuthorizationConfig(
        verification_keys=[open("public.pem").read()],
        token_source=TokenSource.BOTH,
        issuer="https://one.test",
        issuers=[
            TrustedIssuer(
                alias="two",
                issuer="https://two.test",
                algorithm="HS256",
                verification_keys=[os.environ["SHARED_SECRET"]],
            )
        ],
    ),
)
app = agent_os.get_app()
"""


class Client:
    """Keeps everything that was answered."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.seen: list[str] = []

    def call(self, method: str, path: str, **given: Any) -> httpx.Response:
        answer = httpx.request(method, self._url + path, timeout=30, **given)
        self.seen.append(f"{answer.headers}\n{answer.text}")
        return answer


@contextmanager
def serving(folder: Path, log_format: str) -> Iterator[tuple[str, Process, Received]]:
    (folder / "program.py").write_text(PROGRAM)
    (folder / "public.pem").write_text(TOKENS.public_key)
    port = free_port()
    script = json.loads(json.dumps(SCRIPT).replace("$KEY", API_KEY))
    with scripted_openai(script) as model, otlp_receiver() as received:
        environment = {
            "OPENAI_API_KEY": API_KEY,
            "OPENAI_BASE_URL": f"{model}/v1",
            "LICET_AUDIT_KEY": AUDIT_KEY,
            "SHARED_SECRET": HMAC_SECRET,
            "OTEL_EXPORTER_OTLP_ENDPOINT": received.url,
            "OTEL_EXPORTER_OTLP_HEADERS": f"x-key={API_KEY}",
        }
        command = licet(*("serve", "program:app", "--port", str(port), "--log-format", log_format))
        with running(command, cwd=folder, env=environment) as process:
            url = f"http://127.0.0.1:{port}"
            process.wait_until_serving(f"{url}/health")
            yield url, process, received


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def by_hmac(subject: str) -> str:
    """A token of the issuer that signs with a secret."""
    now = int(time.time())
    claims = {"iss": "https://two.test", "sub": subject, "exp": now + 600}
    return jwt.encode(claims, HMAC_SECRET, algorithm="HS256")


def parts(token: str) -> list[str]:
    """What betrays a token: the whole, its signature, and what a decoder shows of it."""
    return [token, token.rsplit(".", 1)[-1]]


def pauses(client: Client, user: str, approver: str) -> None:
    """Runs that wait to be approved, in the foreground and durable, and go on."""
    run = "/agents/one/runs"
    for background in ("false", "true"):
        form = {"message": "give 7", "stream": "true", "background": background}
        said = client.call("POST", run, data=form, headers=bearer(user))
        assert "RunPaused" in said.text
        found = client.call("GET", "/approvals?status=pending", headers=bearer(approver))
        (approval,) = found.json()["data"]
        path = f"/approvals/{approval['id']}/resolve"
        for token, status in ((user, 403), (approver, 200), (approver, 409)):
            decision = client.call("POST", path, json={"status": "approved"}, headers=bearer(token))
            assert decision.status_code == status
        path = f"{run}/{approval['run_id']}"
        if background == "false":
            client.call("POST", f"{path}/continue", headers=bearer(user))
        ended = client.call("POST", f"{path}/resume", headers=bearer(user))
        assert "It is given." in ended.text


def a_full_run(client: Client) -> list[str]:
    """Everything that the server does, with secrets of every kind; answers the secrets."""
    admin = TOKENS.token("ada", scopes=("agent_os:admin",), iss="https://one.test")
    user = TOKENS.token("uma", scopes=("agents:run", "sessions:read"), iss="https://one.test")
    approver = TOKENS.token(
        "bob", scopes=("approvals:read", "approvals:write"), iss="https://one.test"
    )
    poor = TOKENS.token("pia", scopes=("config:read",), iss="https://one.test")
    late = TOKENS.token("uma", iss="https://one.test", exp=1)
    forged = TokenFactory(fresh_key=True).token("uma", iss="https://one.test")
    by_secret = by_hmac("hal")
    run = "/agents/one/runs"
    for message in ("look for 7", "break it", "fail now"):
        for stream in ("true", "false"):
            form = {"message": message, "stream": stream, "session_id": "s1"}
            assert client.call("POST", run, data=form, headers=bearer(user)).status_code == 200
    pauses(client, user, approver)
    client.call("GET", "/sessions/s1/runs", headers=bearer(user))
    for token in (poor, late, forged, by_secret, user[:-4]):
        client.call("POST", run, data={"message": "hi"}, headers=bearer(token))
        client.call("GET", f"/agents?access_token={token}", headers=bearer(token))
        cookie = {"Cookie": f"access_token={token}"}
        client.call("POST", run, data={"message": "hi"}, headers=cookie)
        client.call("GET", "/agents", headers={"Authorization": f"Basic {token}"})
        client.call("GET", "/agents", headers={"Authorization": token})
    made = client.call(
        "POST",
        "/service-accounts",
        json={"name": "nightly", "scopes": ["agents:run"]},
        headers=bearer(admin),
    )
    account = made.json()
    client.seen.pop()  # shown once, to whoever made it
    client.call("POST", run, data={"message": "look"}, headers=bearer(account["token"]))
    client.call("GET", "/service-accounts", headers=bearer(admin))
    client.call("POST", "/revocations", json={"subject": "uma"}, headers=bearer(admin))
    client.call("POST", run, data={"message": "hi"}, headers=bearer(user))
    asked = {"method": "POST", "path": run, "token": user}
    client.call("POST", "/authz/explain", json=asked, headers=bearer(admin))
    client.call("DELETE", f"/service-accounts/{account['id']}", headers=bearer(admin))
    client.call("POST", run, data={"message": "hi"}, headers=bearer(account["token"]))
    client.call("GET", "/audit?limit=500", headers=bearer(admin))
    client.call("GET", "/telemetry/metrics", headers=bearer(admin))
    tokens = [admin, user, approver, poor, late, forged, by_secret]
    betraying = [part for token in tokens for part in parts(token)]
    return [*betraying, account["token"], API_KEY, AUDIT_KEY, HMAC_SECRET]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_secret_stands_anywhere(tmp_path: Path, log_format: str) -> None:
    with serving(tmp_path, log_format) as (url, process, received):
        client = Client(url)
        hidden = a_full_run(client)
        in_force = process
    places = {
        "answers": "\n".join(client.seen).encode(),
        "log": in_force.output.encode(),
        # What was left at the end was sent then: all of it has arrived.
        "spans and numbers": b"".join(received.raw),
        **{
            file.name: file.read_bytes()
            for file in tmp_path.iterdir()
            if file.suffix not in {".py", ".pem"} and file.is_file()
        },
    }
    assert {"os.db", "audit.jsonl"} <= set(places)
    # The search finds what is there: else it would find nothing of what must not be.
    for name, there in (
        ("os.db", b"Seven is there"),
        ("audit.jsonl", b"token_expired"),
        ("answers", b"gen_ai_client_token_usage"),
        ("spans and numbers", b"execute_tool look"),
        ("spans and numbers", b"licet.decisions"),
    ):
        assert there in places[name]
    assert b"denied 401" in places["log"]
    for name, content in places.items():
        for secret in hidden:
            for form in (secret.encode(), base64.b64encode(secret.encode())):
                assert form not in content, (name, secret[:12])
