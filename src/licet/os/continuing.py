"""Going on with a paused run as its owner asks for it: once, and under who began it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from starlette.responses import Response

from licet.agent.agent import Agent
from licet.agent.decisions import approved, decided, undecided
from licet.agent.events import AgentEvent
from licet.agent.output import RunOutput, ToolExecution
from licet.agent.resuming import NotPausedError
from licet.agent.run import AgentRun
from licet.db.approval_records import ApprovalRecord
from licet.db.base import Store
from licet.db.records import RunRecord, RunStatus
from licet.db.work_records import JobRecord
from licet.errors import ConflictError
from licet.os.continue_form import ContinueForm
from licet.os.running import Stored, answer_stored, ended_output, ready_for_durable
from licet.os.server import Server
from licet.os.sse import body_of
from licet.os.views import JSON
from licet.runs.frames import LogWriter
from licet.runs.log import EventLog
from licet.runs.snapshot import StoredRequest, principal_of


class WaitsStillError(ConflictError):
    """Calls of the run wait still; the message names them."""

    code = "undecided"


@dataclass(frozen=True, slots=True, kw_only=True)
class Paused:
    """A run that is to go on: its row as it was found, and the handle to it."""

    agent: Agent
    run: RunRecord
    store: Store
    form: ContinueForm


async def go_on(server: Server, asked: Paused) -> Response:
    """Apply what was decided, let the run go on, and answer the way that was asked for.

    Raises:
        ConflictError: it is not paused, waits still, or somebody else was first.
        DurableRunsTakenError: another AgentOS of this process has the durable runs.
        InvalidInputError: what was decided is about no call that waits.
        NoLastingDatabaseError: the run cannot outlive this process.
        StorageError: it could not be stored; the run waits still.
    """
    run = asked.run
    if run.status is not RunStatus.PAUSED:
        raise NotPausedError(f"The run is {run.status}: only a paused run can be continued")
    db = server.db_of(asked.agent)
    output = decided(RunOutput.from_json(run.body), asked.form.decisions, asked.agent.functions)
    approvals = await db.approvals().of_run(run.run_id)
    output = approved(output, approvals)
    if waiting := undecided(output):
        raise _undecided(waiting, approvals)
    job = await db.work().job(run.run_id)
    if job is None:
        raise NotPausedError("The run was not begun by a server, and cannot be continued by one")
    if run.durable or asked.form.background or asked.agent.durable:
        return await _durable(server, asked, output)
    return await _foreground(server, asked, output, job)


def _undecided(
    waiting: Sequence[ToolExecution], approvals: Sequence[ApprovalRecord]
) -> WaitsStillError:
    now_us = time.time_ns() // 1000
    names = ", ".join(f"{t.tool_name} ({t.tool_call_id}): {t.waits_for}" for t in waiting)
    told = f"The run waits still. Undecided: {names}"
    if any(each.has_expired(now_us=now_us) for each in approvals):
        told += ". An approval has expired, and cannot be given any more: cancel the run"
    return WaitsStillError(told)


async def _durable(server: Server, asked: Paused, output: RunOutput) -> Response:
    run, db = asked.run, server.db_of(asked.agent)
    await ready_for_durable(server, db)
    waiting = replace(
        run,
        status=RunStatus.PENDING,
        body=output.to_json(),
        executor_id=None,
        durable=True,
        updated_at_us=_after(run),
    )
    begun = await asked.store.continue_run(waiting, paused_at_us=run.updated_at_us, history_runs=0)
    if begun is None:
        raise NotPausedError("The run does not wait any more")
    await server.runs.tell_work(db.id)
    stored = Stored(
        store=asked.store,
        key=run.session_key,
        run_id=run.run_id,
        after=output.next_event_index - 1,
    )
    return await answer_stored(server, stored, asked.form)


async def _foreground(server: Server, asked: Paused, output: RunOutput, job: JobRecord) -> Response:
    run, form, logs = asked.run, asked.form, server.runs.logs
    first_index = output.next_event_index
    log: EventLog | None = None
    writer: LogWriter | None = None

    def emit(event: AgentEvent) -> None:
        # With the first event, which only whoever goes on with the run tells.
        nonlocal log, writer
        if writer is None:
            log = logs.open(run.run_id, first_index=first_index, leg=resumed.output.leg)
            writer = LogWriter(log, all_events=form.stream_events)
        writer(event)

    def next_event_index() -> int:
        return first_index if writer is None else writer.next_index

    _, principal = principal_of(job)
    request = StoredRequest.from_json(job.request).request(principal)
    resumed = AgentRun(
        asked.agent,
        request,
        store=asked.store,
        emit=emit if form.stream else None,
        execution=server.runs.resumed_execution(
            run, request, job, next_event_index=next_event_index
        ),
        resumed=output,
    )

    def ended() -> None:
        if log is not None and writer is not None:
            writer.close(resumed.output)
            logs.keep(run.run_id, log)

    task = await server.runs.foreground.begin(resumed, ended=ended, paused_at_us=run.updated_at_us)
    if log is None:
        return JSON((await ended_output(resumed, task)).to_json())
    ping_seconds = server.settings.ping_seconds
    return server.stream(body_of(log, run.run_id, after=first_index - 1, ping_seconds=ping_seconds))


def _after(run: RunRecord) -> int:
    return max(run.updated_at_us + 1, time.time_ns() // 1000)
