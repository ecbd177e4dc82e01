"""Revoked on one replica is revoked on all, in under a second, also what is under way."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from licet.authn.keys import load_key
from licet.testing import TokenFactory
from tests.support.postgres import EmbeddedPostgres, fresh_schema
from tests.support.process import free_port, licet, running
from tests.support.world import CLIENT_ID, ISSUER, IssuerTokens

TOKENS = IssuerTokens()
ATTEMPTS, LIMIT_SECONDS = 3, 1.0
# Each is revoked once.
KEYS = [TokenFactory("ES256", fresh_key=True) for _ in range(ATTEMPTS)]
SCOPES = ["agents:read", "agents:run"]

PROGRAM = """
import asyncio
import os

from fastapi import FastAPI

from licet.agent import Agent
from licet.db.postgres import PostgresDb
from licet.db.sqlite import SqliteDb
from licet.os import AgentOS, AuthorizationConfig
from licet.testing import Say, ScriptedModel


class Never:
    async def wait(self):
        await asyncio.Event().wait()


db = {db}
mine = FastAPI()


@mine.get("/pid")
async def pid():
    return os.getpid()


model = ScriptedModel(
    [Say("one two", hold=Never(), hold_after=1)], when_exhausted="repeat_last"
)
agent_os = AgentOS(
    id="os",
    agents=[Agent(id="slow", model=model, db=db)],
    db=db,
    base_app=mine,
    authorization=True,
    authorization_config=AuthorizationConfig(
        verification_keys={keys!r},
        algorithms=["RS256", "ES256"],
        issuer={issuer!r},
        oidc_client_id={client_id!r},
        scope_mappings={{"GET /pid": []}},
    ),
)
app = agent_os.get_app()
"""


@dataclass(frozen=True)
class Replica:
    """One serving process: ``connect`` makes a client whose one connection leads to it."""

    connect: Callable[[], httpx.Client]


def bearer(subject: str, *scopes: str, **claims: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKENS.token(subject, scopes=scopes, **claims)}"}


def client(url: str) -> httpx.Client:
    return httpx.Client(base_url=url, limits=httpx.Limits(max_connections=1), timeout=30)


def pid_of(connected: httpx.Client) -> int:
    return int(connected.get("/pid", headers=bearer("probe")).text)


@contextmanager
def serving(folder: Path, db: str, *options: str) -> Iterator[str]:
    keys = [key.public_key for key in (TOKENS, *KEYS)]
    program = PROGRAM.format(db=db, keys=keys, issuer=ISSUER, client_id=CLIENT_ID)
    (folder / "program.py").write_text(program)
    port = free_port()
    command = licet("serve", "program:app", "--port", str(port), *options)
    with running(command, cwd=folder) as process:
        url = f"http://127.0.0.1:{port}"
        process.wait_until_serving(f"{url}/health")
        yield url


def workers_of(url: str) -> list[Replica]:
    """Two processes behind one port: a client is made anew until it has reached the wanted one."""

    def reaching(wanted: Callable[[int], bool]) -> httpx.Client:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            connected = client(url)
            if wanted(pid_of(connected)):
                return connected
            connected.close()
        raise AssertionError("only one worker answers")

    with client(url) as probe:
        first = pid_of(probe)
    return [
        Replica(lambda: reaching(lambda pid: pid == first)),
        Replica(lambda: reaching(lambda pid: pid != first)),
    ]


@pytest.fixture(
    scope="module",
    params=["two processes on one PostgreSQL", "two workers on one SQLite file"],
)
def replicas(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    postgres_server: EmbeddedPostgres,
) -> Iterator[list[Replica]]:
    folder = tmp_path_factory.mktemp("replicas")
    with ExitStack() as stack:
        if "SQLite" in request.param:
            db = f"SqliteDb({str(folder / 'one.db')!r})"
            yield workers_of(stack.enter_context(serving(folder, db, "--workers", "2")))
            return
        schema = stack.enter_context(fresh_schema(postgres_server))
        db = f"PostgresDb(db_url={schema!r})"
        urls = [stack.enter_context(serving(folder, db)) for _ in range(2)]
        yield [Replica(lambda url=url: client(url)) for url in urls]  # type: ignore[misc]  # bound now


def asked(at: Replica, method: str, path: str, **what: Any) -> httpx.Response:
    """The administrator's request at one replica, which does it."""
    with closing(at.connect()) as admin:
        headers = bearer("ada", "agent_os:admin")
        answer = admin.request(method, path, headers=headers, **what)
    assert answer.is_success, answer.text
    return answer


@dataclass(frozen=True)
class Victim:
    """Who is revoked: their headers, and how it is done at a replica."""

    headers: dict[str, str]
    revoke: Callable[[Replica], httpx.Response]


def of_user(name: str, what: Mapping[str, str]) -> Victim:
    headers = bearer(name, *SCOPES, jti=f"t-{name}", sid=f"sid-{name}", iat=time.time() - 60)
    return Victim(headers, lambda at: asked(at, "POST", "/revocations", json=what))


def of_key(number: int) -> Victim:
    key = KEYS[number]
    token = key.token(f"of-key-{number}", scopes=SCOPES, iss=ISSUER)
    revocation = {"key_id": load_key(key.public_key, allowed=["ES256"]).key_id}
    return Victim(
        {"Authorization": f"Bearer {token}"},
        lambda at: asked(at, "POST", "/revocations", json=revocation),
    )


def of_account(name: str, here: Replica, *, deleted: bool) -> Victim:
    new = {"name": name, "scopes": SCOPES}
    made = asked(here, "POST", "/service-accounts", json=new).json()

    def revoke(at: Replica) -> httpx.Response:
        if deleted:
            return asked(at, "DELETE", f"/service-accounts/{made['id']}")
        return asked(at, "POST", "/revocations", json={"service_account": made["id"]})

    return Victim({"Authorization": f"Bearer {made['token']}"}, revoke)


def of_logout(name: str, **who: str) -> Victim:
    form = {"logout_token": TOKENS.logout_token(**who)}
    victim = of_user(name, {})
    return Victim(
        victim.headers, lambda at: asked(at, "POST", "/oidc/backchannel-logout", data=form)
    )


# By kind: who is revoked in an attempt, and what is said of it.
KINDS: dict[str, tuple[Callable[[int, Replica], Victim], str]] = {
    "token_id": (lambda n, _: of_user(f"by-id-{n}", {"token_id": f"t-by-id-{n}"}), "revoked"),
    "subject": (lambda n, _: of_user(f"subject-{n}", {"subject": f"subject-{n}"}), "revoked"),
    "sid": (lambda n, _: of_user(f"by-sid-{n}", {"sid": f"sid-by-sid-{n}"}), "session"),
    "key_id": (lambda n, _: of_key(n), "key"),
    "service account": (
        lambda n, here: of_account(f"robot-{n}", here, deleted=False),
        "service account",
    ),
    "deleted service account": (
        lambda n, here: of_account(f"machine-{n}", here, deleted=True),
        "service account",
    ),
    "logout of a subject": (
        lambda n, _: of_logout(f"leaves-{n}", sub=f"leaves-{n}"),
        "logged out",
    ),
    "logout of a session": (
        lambda n, _: of_logout(f"ends-{n}", sid=f"sid-ends-{n}"),
        "session",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_revocation_denies_and_ends_an_open_stream_on_the_other_replica(
    replicas: list[Replica], kind: str
) -> None:
    here, there = replicas
    victim, reason = KINDS[kind]
    found = [attempt(here, there, victim(n, here), f"{kind}-{n}", reason) for n in range(ATTEMPTS)]
    # Other tests may run beside this one, on the same two cores: most have to be in time.
    for what in ("denied_seconds", "ended_seconds"):
        seconds = sorted(getattr(each, what) for each in found)
        assert seconds[ATTEMPTS // 2] < LIMIT_SECONDS, (what, found)
        assert seconds[-1] < LIMIT_SECONDS * 5, (what, found)


@dataclass(frozen=True)
class Took:
    """How long after the revocation a request was denied, and an open stream ended, elsewhere."""

    denied_seconds: float
    ended_seconds: float


def attempt(here: Replica, there: Replica, victim: Victim, session_id: str, reason: str) -> Took:
    """Stream there, revoke here. What is seen there is asserted."""
    with closing(there.connect()) as streaming, closing(there.connect()) as other:
        run = {"message": "hi", "session_id": session_id}
        streamed = streaming.stream("POST", "/agents/slow/runs", data=run, headers=victim.headers)
        with streamed as answer, ThreadPoolExecutor(1) as pool:
            events = events_of(answer)
            run_id = next(data["run_id"] for event, data in events if event == "RunContent")
            assert other.get("/agents", headers=victim.headers).status_code == 200
            denied = pool.submit(when_denied, other, victim.headers, reason)
            victim.revoke(here)
            began = time.monotonic()
            last = list(events)[-1]
            ended_seconds = time.monotonic() - began
            denied_seconds = denied.result() - began
        assert last[0] == "RunCancelled"
        assert reason in last[1]["reason"]
    stored = asked(there, "GET", f"/agents/slow/runs/{run_id}", params={"session_id": session_id})
    said = stored.json()
    assert (said["status"], said["error_type"]) == ("CANCELLED", "revoked")
    assert reason in said["cancellation_reason"]
    return Took(denied_seconds, ended_seconds)


def when_denied(connected: httpx.Client, headers: dict[str, str], reason: str) -> float:
    """Ask until it is denied; when that was."""
    deadline = time.monotonic() + 20
    while (answer := connected.get("/agents", headers=headers)).status_code == 200:
        assert time.monotonic() < deadline, "it is never denied"
    when = time.monotonic()
    assert answer.status_code == 401
    assert reason in answer.json()["detail"]
    return when


def events_of(answer: httpx.Response) -> Iterator[tuple[str, dict[str, Any]]]:
    name = ""
    for line in answer.iter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))
