"""A schedule in a cluster: fired once for each time, under its owner's authority, while that is."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from licet.db.base import Access
from licet.db.postgres import PostgresDb
from licet.db.schedule_records import ScheduleSaving
from licet.testing import TokenFactory
from tests.support.openai import scripted_openai
from tests.support.postgres import EmbeddedPostgres, fresh_schema
from tests.support.process import Process, free_port, licet, running

DEADLINE_SECONDS = 60.0
FIRINGS = 4

_PROGRAM = """
from pathlib import Path

from licet.agent import Agent
from licet.audit import AuditConfig, AuditMode
from licet.db.postgres import PostgresDb
from licet.models.openai import OpenAIChat
from licet.os import AgentOS, AuthorizationConfig, Heartbeat, Settings

agent_os = AgentOS(
    id="os",
    agents=[
        Agent(id="reporter", model=OpenAIChat(id="m", base_url={model!r}, api_key="none"))
    ],
    db=PostgresDb(db_url={db!r}),
    authorization=True,
    authorization_config=AuthorizationConfig(
        verification_keys=[Path("public.pem").read_text()], leeway_seconds=0
    ),
    # A record is kept before what it allows is done, also where the process is killed then.
    audit=AuditConfig(mode=AuditMode.BLOCKING),
    settings=Settings(heartbeat=Heartbeat(beat_seconds=0.25, dead_seconds=2.0)),
)
app = agent_os.get_app()
"""


@dataclass
class Cluster:
    """Processes that serve one database, and who asks them."""

    db_url: str
    tokens: TokenFactory
    replicas: list[tuple[str, Process]] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Of one that lives."""
        return self.replicas[-1][0]

    def kill_first(self) -> None:
        """``kill -9`` for the one that was asked first."""
        _, process = self.replicas.pop(0)
        process.popen.send_signal(signal.SIGKILL)
        process.popen.wait(timeout=60)

    def ask(self, method: str, path: str, *scopes: str, user: str = "olga", **given: Any) -> Any:
        """Ask, and answer what was said."""
        token = self.tokens.token(user, scopes=scopes)
        headers = {"Authorization": f"Bearer {token}"}
        answer = httpx.request(method, self.url + path, headers=headers, timeout=60, **given)
        assert answer.is_success, answer.text
        return answer.json()

    def admin(self, method: str, path: str, **given: Any) -> Any:
        """Ask as the administrator."""
        return self.ask(method, path, "agent_os:admin", user="ada", **given)

    def runs(self, schedule_id: str) -> list[dict[str, Any]]:
        """What came of a schedule so far, the latest first."""
        found: list[dict[str, Any]] = self.admin("GET", f"/schedules/{schedule_id}/runs")["data"]
        return found

    def let_it_be_due_each_second(self, schedule_id: str) -> None:
        """The engine's clock knows seconds; no route takes them, so this is the row's alone."""

        async def change() -> None:
            db = PostgresDb(self.db_url)
            store = db.schedules(Access("", sees_all=True))
            read = await store.get(schedule_id)
            assert read is not None
            changed = replace(read, cron_expr="* * * * * *", updated_at_us=read.updated_at_us + 1)
            saving = await store.save(changed, read_at_us=read.updated_at_us)
            assert saving is ScheduleSaving.SAVED
            await db.close()

        asyncio.run(change())


@contextmanager
def cluster(folder: Path, db_url: str, *, replicas: int) -> Iterator[Cluster]:
    """So many processes, all of which serve."""
    tokens = TokenFactory()
    made = Cluster(db_url, tokens)
    (folder / "public.pem").write_text(tokens.public_key)
    with ExitStack() as stack:
        model = stack.enter_context(scripted_openai({"otherwise": {"text": "done"}}))
        program = _PROGRAM.format(db=db_url, model=f"{model}/v1")
        (folder / "program.py").write_text(program)
        for _ in range(replicas):
            port = free_port()
            command = licet("serve", "program:app", "--port", str(port))
            process = stack.enter_context(running(command, cwd=folder))
            made.replicas.append((f"http://127.0.0.1:{port}", process))
        for url, process in made.replicas:
            process.wait_until_serving(f"{url}/health")
        yield made


def until(holds: Callable[[], object], what: str) -> None:
    """Look again and again until it holds."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.1)


@pytest.mark.timeout(240)
def test_of_three_replicas_one_fires_each_time_until_its_owner_is_revoked(
    tmp_path: Path, postgres_server: EmbeddedPostgres
) -> None:
    with (
        fresh_schema(postgres_server) as url,
        cluster(tmp_path, url, replicas=3) as at,
    ):
        body = {
            "name": "report",
            "endpoint": "/agents/reporter/runs",
            "payload": {"message": "report", "session_id": "reports"},
            "cron_expr": "0 9 1 1 *",
        }
        asked = ("schedules:write", "agents:run")
        schedule_id = at.ask("POST", "/schedules", *asked, json=body)["id"]
        at.let_it_be_due_each_second(schedule_id)
        until(lambda: at.runs(schedule_id), "the first firing")
        # Whoever made it is gone; the others fire it.
        at.kill_first()
        killed_at = int(time.time())
        until(
            lambda: (
                sum(each["triggered_at"] > killed_at for each in at.runs(schedule_id)) >= FIRINGS
            ),
            "firings without the process that made it",
        )
        at.admin("POST", "/revocations", json={"subject": "olga"})
        until(lambda: not at.admin("GET", f"/schedules/{schedule_id}")["enabled"], "a denial")
        until(
            lambda: all(each["completed_at"] for each in at.runs(schedule_id)),
            "the ends of all firings",
        )
        schedule, runs = at.admin("GET", f"/schedules/{schedule_id}"), at.runs(schedule_id)
        until(lambda: len(decisions(at, schedule_id)) >= len(runs), "all records")
        recorded = decisions(at, schedule_id)
        stored = at.admin("GET", "/sessions/reports/runs", params={"user_id": "olga"})
    check_firings(runs, stored)
    assert "was revoked" in schedule["disabled_reason"]
    assert {each["request_id"] for each in recorded} == {each["id"] for each in runs}
    denied = {each["id"] for each in runs if each["status_code"] == 401}
    assert denied == {each["request_id"] for each in recorded if each["decision"] == "deny"}
    assert denied


def decisions(at: Cluster, schedule_id: str) -> list[dict[str, Any]]:
    """What the audit trail has of the schedule's firings."""
    found = at.admin("GET", "/audit", params={"subject": "olga", "limit": 500})["data"]
    path = f"/schedules/{schedule_id}"
    return [each for each in found if each["kind"] == "schedule" and each["route"] == path]


def check_firings(runs: list[dict[str, Any]], stored: list[dict[str, Any]]) -> None:
    """Each time has one firing, each firing that was allowed one run, and there are no others."""
    times = [each["triggered_at"] for each in runs]
    assert len(set(times)) == len(times)
    begun = [each["run_id"] for each in runs if each["run_id"] is not None]
    assert len(set(begun)) == len(begun) >= FIRINGS
    assert sorted(begun) == sorted(each["run_id"] for each in stored)
    assert {each["user_id"] for each in stored} == {"olga"}
    for each in runs:
        assert (each["run_id"] is None) is (each["status_code"] == 401), each
        assert each["attempt"] == 1
