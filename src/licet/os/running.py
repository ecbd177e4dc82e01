"""Running an agent as a request asks for it: begun once, answered the way that was asked for."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Protocol

from starlette.responses import Response

from licet.agent.agent import Agent
from licet.agent.output import RunOutput
from licet.agent.run import AgentRun
from licet.agent.run_request import RunRequest
from licet.db.base import Db, Store
from licet.db.records import RunRecord, SessionKey
from licet.db.steps_database import Lasting
from licet.db.work_records import Once, RepeatedRequestError
from licet.errors import ConfigurationError, NotFoundError
from licet.os.caller import Caller
from licet.os.once import used_for_another
from licet.os.run_form import RunForm
from licet.os.server import Server
from licet.os.sse import body_of
from licet.os.views import JSON
from licet.runs.durable import DurableRuns, DurableRunsTakenError, NoLastingDatabaseError
from licet.runs.frames import LogWriter
from licet.runs.spare import SpareEvents

logger = logging.getLogger(__name__)

_ACCEPTED = 202


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request for a run."""

    agent: Agent
    request: RunRequest
    form: RunForm
    caller: Caller
    once: Once | None = None

    @property
    def durable(self) -> bool:
        """Whether the run is to outlive this process."""
        return self.form.background or self.agent.durable


class Wish(Protocol):
    """How a client wants to be answered."""

    @property
    def stream(self) -> bool:
        """As events."""

    @property
    def stream_events(self) -> bool:
        """All of them."""

    @property
    def background(self) -> bool:
        """At once, where it is not as events."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A run that is stored, the handle to it, and the last event that is not wanted."""

    store: Store
    key: SessionKey
    run_id: str
    after: int = -1


async def answer(server: Server, asked: Asked) -> Response:
    """Begin a run, or find the one that the same request began before; answer with it.

    Raises:
        DurableRunsTakenError: another AgentOS of this process has the durable runs.
        InvalidInputError: the request's key was used for something else.
        NoLastingDatabaseError: the run cannot outlive this process.
        QueueFullError: too many runs wait.
        StorageError: it could not be stored; nothing was begun.
    """
    store = server.db_of(asked.agent).store(asked.caller.access)
    try:
        if asked.durable:
            return await _durable(server, asked, store)
        return await _foreground(server, asked, store)
    except RepeatedRequestError as repeated:
        if not repeated.same:
            raise used_for_another() from None
        first = Stored(store=store, key=repeated.first_key, run_id=repeated.first_run_id)
        return await answer_stored(server, first, asked.form)


async def _foreground(server: Server, asked: Asked, store: Store) -> Response:
    agent, request, form = asked.agent, asked.request, asked.form
    if not form.stream:
        execution = server.runs.execution(agent, request)
        run = AgentRun(agent, request, store=store, execution=execution)
        task = await server.runs.foreground.begin(run, once=asked.once)
        return JSON((await ended_output(run, task)).to_json())
    log = server.runs.logs.open(request.run_id)
    write = LogWriter(log, all_events=form.stream_events)
    execution = server.runs.execution(agent, request, next_event_index=lambda: log.next_index)
    run = AgentRun(agent, request, store=store, emit=write, execution=execution)

    def ended() -> None:
        write.close(run.output)
        server.runs.logs.keep(request.run_id, log)

    await server.runs.foreground.begin(run, ended=ended, once=asked.once)
    return server.stream(body_of(log, request.run_id, ping_seconds=server.settings.ping_seconds))


async def ended_output(run: AgentRun, task: asyncio.Task[RunOutput]) -> RunOutput:
    """What a run came to, also where it was stopped from outside."""
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        # Either the run was stopped, which is an answer, or whoever waits for it.
        if not task.cancelled():
            raise
        return run.output


async def _durable(server: Server, asked: Asked, store: Store) -> Response:
    agent, request = asked.agent, asked.request
    db = server.db_of(agent)
    durable = await ready_for_durable(server, db)
    await durable.enqueue(
        agent, request, store, limits=server.settings.run_queue.limits, once=asked.once
    )
    await server.runs.tell_work(db.id)
    key = SessionKey(request.owner, request.session_id)
    stored = Stored(store=store, key=key, run_id=request.run_id)
    return await answer_stored(server, stored, asked.form)


async def ready_for_durable(server: Server, db: Db) -> DurableRuns:
    """The durable runs of this process, where runs of a database may be such.

    Raises:
        DurableRunsTakenError: another AgentOS of this process has them, or nobody.
        NoLastingDatabaseError: the database ends with the process.
        StorageError: where their steps are kept cannot be reached.
    """
    durable = server.runs.durable
    if durable is None or not isinstance(db, Lasting):
        raise NoLastingDatabaseError(
            "Background execution requires a database to be configured on the agent"
        )
    if not server.runs.started:
        logger.error("durable runs need the app's lifespan, without which it is served here")
        raise DurableRunsTakenError("Durable runs are served by another process")
    try:
        await durable.ready()
    except ConfigurationError as error:
        # Told to the operator; to whoever asks it is a server that has no durable runs.
        logger.error("%s", error)  # noqa: TRY400 - the text says it all
        raise DurableRunsTakenError("Durable runs are served by another process") from None
    return durable


async def answer_stored(server: Server, stored: Stored, wish: Wish) -> Response:
    """A run that is stored, as the request wants to be answered."""
    store, key, run_id = stored.store, stored.key, stored.run_id
    run = await _found(store, key, run_id)
    ping_seconds = server.settings.ping_seconds
    if wish.background and not wish.stream:
        view = {"run_id": run_id, "session_id": run.session_id, "status": run.status}
        return JSON(view, status_code=_ACCEPTED)
    source = await server.runs.events_of(run, store)
    if wish.stream:
        told = source if wish.stream_events else SpareEvents(source)
        return server.stream(body_of(told, run_id, after=stored.after, ping_seconds=ping_seconds))
    async for _ in source.follow(after=stored.after, idle_seconds=ping_seconds):
        """Until it has ended, or paused."""
    return JSON((await _found(store, key, run_id)).body)


async def _found(store: Store, key: SessionKey, run_id: str) -> RunRecord:
    run = await store.get_run(key, run_id)
    if run is None:
        raise NotFoundError("Run", run_id, "Run not found")
    return run
