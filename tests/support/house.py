"""A house of sessions: a served AgentOS with two databases, and rows put in by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import httpx

from licet.agent import Agent
from licet.agent.output import Metrics, RunInput, RunOutput
from licet.authn.principal import owner_key
from licet.db.base import Access, Db, Store
from licet.db.records import RunRecord, RunStatus, Saving, SessionKey, SessionQuery, SessionRecord
from licet.models.message import Message
from tests.support.live import serve
from tests.support.world import World

T = TypeVar("T")

ALL_OF_SESSIONS = ("sessions:read", "sessions:write", "sessions:delete")


@dataclass(frozen=True, slots=True)
class Somebody:
    """A client with one token."""

    client: httpx.Client
    headers: dict[str, str]

    def get(self, path: str, **params: Any) -> httpx.Response:
        """GET with query parameters."""
        return self.client.get(path, params=params, headers=self.headers)

    def send(self, method: str, path: str, body: Any = None, **params: Any) -> httpx.Response:
        """Any method, with a JSON body and query parameters."""
        return self.client.request(method, path, json=body, params=params, headers=self.headers)


class House:
    """Agent ``alpha`` keeps its sessions in ``main``, agent ``beta`` in ``second``."""

    def __init__(self, main: Db, second: Db) -> None:
        self.main = main
        self.second = second
        self.world = World(db=main)
        self.world.agents = [
            Agent(id="alpha", name="Alpha", model=self.world.model),
            Agent(id="beta", model=self.world.model, db=second),
        ]
        self.client = httpx.Client()

    @contextmanager
    def open(self, **given: Any) -> Iterator[House]:
        """Serve until the block ends."""
        with (
            serve(self.world.agent_os(**given).get_app()) as server,
            httpx.Client(base_url=server.url, timeout=20) as self.client,
        ):
            yield self

    def somebody(self, subject: str, *scopes: str) -> Somebody:
        """A client whose token has these scopes; all of sessions when none is named."""
        return Somebody(self.client, self.world.bearer(subject, *(scopes or ALL_OF_SESSIONS)))

    def admin(self) -> Somebody:
        """The administrator's client."""
        return Somebody(self.client, self.world.admin())

    def clear(self) -> None:
        """No rows in any database."""

        async def delete(db: Db) -> None:
            store = _everything(db)
            found = await store.list_sessions(SessionQuery(limit=1000))
            await store.delete_sessions([session.key for session in found.sessions])

        for db in (self.main, self.second):
            asyncio.run(delete(db))

    def add_session(
        self, subject: str, session_id: str, db: Db | None = None, **values: Any
    ) -> None:
        """A session; ``at`` is both of its times, in epoch seconds."""
        record = _session(subject, session_id, **values)
        assert self._in(db or self.main, lambda store: store.create_session(record))

    def add_run(self, subject: str, session_id: str, run_id: str, **values: Any) -> None:
        """A run, and its session if there is none yet; ``at`` is its time in epoch seconds."""
        at = values.get("at", 1)
        session = _session(subject, session_id, first_input=values.get("asked", "hi"), at=at)
        record = _run(subject, session_id, run_id, **values)
        self._in(self.main, lambda store: _stored(store, session, record))

    def session(self, subject: str, session_id: str, db: Db | None = None) -> SessionRecord | None:
        """The session as it is stored now."""
        key = SessionKey(owner_key("default", subject), session_id)
        found = self._in(db or self.main, lambda store: store.find_sessions(session_id))
        return next((session for session in found if session.key == key), None)

    def _in(self, db: Db, ask: Any) -> Any:
        async def asked(question: Coroutine[Any, Any, T]) -> T:
            return await question

        return asyncio.run(asked(ask(_everything(db))))


def _everything(db: Db) -> Store:
    return db.store(Access("", sees_all=True))


async def _stored(store: Store, session: SessionRecord, record: RunRecord) -> None:
    await store.begin_run(session, replace(record, status=RunStatus.RUNNING), history_runs=0)
    if record.status is not RunStatus.RUNNING:
        assert await store.save_run(record, session_state=None) is Saving.SAVED


def _session(subject: str, session_id: str, *, at: float = 1, **values: Any) -> SessionRecord:
    at_us = int(at * 1_000_000)
    usual = {"component_id": "alpha", "created_at_us": at_us, "updated_at_us": at_us}
    return SessionRecord(
        owner=owner_key("default", subject),
        session_id=session_id,
        user_id=subject,
        **{**usual, **values},
    )


def _run(subject: str, session_id: str, run_id: str, **values: Any) -> RunRecord:
    at: float = values.get("at", 1)
    status = values.get("status", RunStatus.COMPLETED)
    asked, content = values.get("asked", "hi"), values.get("content", "hello")
    output = RunOutput(
        run_id=run_id,
        session_id=session_id,
        agent_id="alpha",
        agent_name="Alpha",
        status=status,
        created_at=int(at),
        user_id=subject,
        input=RunInput(asked),
        content=content,
        content_type=values.get("content_type", "str"),
        messages=(
            Message(role="user", content=asked),
            Message(role="assistant", content=str(content)),
        ),
        metrics=Metrics(total_tokens=values.get("tokens", 0)),
    )
    return RunRecord(
        owner=owner_key("default", subject),
        session_id=session_id,
        run_id=run_id,
        component_id="alpha",
        user_id=subject,
        status=status,
        body=output.to_json(),
        total_tokens=values.get("tokens", 0),
        created_at_us=int(at * 1_000_000),
        updated_at_us=int(at * 1_000_000),
    )
