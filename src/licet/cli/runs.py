"""``licet runs``: what works, waits and has failed; ending it, and having it done once more."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Annotated

import typer

from licet.cli.serve import TARGET

if TYPE_CHECKING:
    from licet.cli.program_runs import ProgramRuns
    from licet.db.base import Store
    from licet.db.records import RecentRuns, RunHead, RunRecord, RunStatus

_STATUSES = ("PENDING", "RUNNING", "PAUSED", "COMPLETED", "CANCELLED", "ERROR")
_NOT_CANCELLED = 1
_PATIENCE_SECONDS = 5.0
_LOOK_SECONDS = 0.1
_BY_OPERATOR = "cancelled by the operator"

_RUN_ID = typer.Argument(
    metavar="RUN-ID", help="As 'licet runs list' shows it.", show_default=False
)
_JSON = typer.Option("--json", help="For programs.")


def list_runs(
    target: Annotated[str, TARGET],
    *,
    status: Annotated[
        list[str] | None,
        typer.Option(help=f"Only these: {', '.join(_STATUSES)}. Repeatable.", show_default=False),
    ] = None,
    agent: Annotated[
        str | None, typer.Option(metavar="ID", help="Only of this agent.", show_default=False)
    ] = None,
    session: Annotated[
        str | None, typer.Option(metavar="ID", help="Only of this session.", show_default=False)
    ] = None,
    user: Annotated[
        str | None, typer.Option(metavar="ID", help="Only of this user.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many at most.")] = 50,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Print the runs of all sessions, the latest first."""
    from licet.cli.output import note, show_table
    from licet.cli.program_runs import in_program_runs
    from licet.cli.run_rows import HEADINGS, run_json, run_table
    from licet.db.records import RecentRuns

    query = RecentRuns(
        statuses=tuple(map(_status, status or ())),
        component_id=agent,
        session_id=session,
        user_id=user,
        # One more, to know whether there are more.
        limit=limit + 1,
    )

    async def listed(runs: ProgramRuns) -> tuple[list[tuple[RunHead, str]], frozenset[str]]:
        return await _newest(runs, query), await runs.living()

    found, living = in_program_runs(target, listed)
    shown = found[:limit]
    if as_json:
        typer.echo(json.dumps([run_json(head, db_id=db_id) for head, db_id in shown], indent=2))
    else:
        heads = [head for head, _ in shown]
        show_table(run_table(heads, living=living, now=time.time()), headings=HEADINGS)
    if len(found) > limit:
        note(f"The latest {limit}; --limit shows more.")


def show(
    target: Annotated[str, TARGET],
    run_id: Annotated[str, _RUN_ID],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="All that is stored of it.")] = False,
) -> None:
    """Print what is known of a run: where it stands, who works on it, its tools, its error."""
    from licet.cli.output import show_table
    from licet.cli.program_db import place_of
    from licet.cli.program_runs import in_program_runs
    from licet.cli.run_rows import run_lines
    from licet.os.views import run_body

    known = _known(run_id)

    async def shown(runs: ProgramRuns) -> tuple[RunRecord, str, frozenset[str]]:
        db, run = await runs.find(known)
        return run, place_of(db), await runs.living()

    run, place, living = in_program_runs(target, shown)
    if as_json:
        typer.echo(json.dumps(json.loads(run_body(run)), indent=2))
    else:
        show_table(run_lines(run, place=place, living=living))


def cancel(target: Annotated[str, TARGET], run_id: Annotated[str, _RUN_ID]) -> None:
    """Cancel a run: at once where it waits; else whoever works on it is asked to."""
    from licet.cli.output import note
    from licet.cli.program_runs import in_program_runs
    from licet.runs.cancelling import cancel_run

    known = _known(run_id)

    async def cancelled(runs: ProgramRuns) -> tuple[RunRecord | None, bool]:
        db, run = await runs.find(known)
        store = runs.store(db)
        await cancel_run(
            run,
            store=store,
            stop_here=lambda *_: False,
            reason=_BY_OPERATOR,
            now_us=time.time_ns() // 1000,
        )
        found = await _ended(store, known)
        return found, found is not None and found.executor_id in await runs.living()

    run, is_worked_on = in_program_runs(target, cancelled)
    note(_outcome(known, run, is_worked_on=is_worked_on))
    if run is not None and run.status.value != "CANCELLED":
        raise typer.Exit(_NOT_CANCELLED)


def retry(target: Annotated[str, TARGET], run_id: Annotated[str, _RUN_ID]) -> None:
    """Ask anew for what a durable run was asked that failed or was cancelled; print the new id.

    Under the authority of whoever asked, as it was then: it is checked again, and counts no longer
    than it did.
    """
    from licet.cli.output import note
    from licet.cli.program_runs import in_program_runs
    from licet.errors import NotFoundError
    from licet.runs.retrying import retry_run

    known = _known(run_id)

    async def retried(runs: ProgramRuns) -> tuple[str, RunRecord]:
        db, run = await runs.find(known)
        agent = runs.agents.get(run.component_id)
        if agent is None:
            raise NotFoundError(
                "agent", run.component_id, f"the program has no agent {run.component_id!r}"
            )
        new_id = await retry_run(run, db=db, agent=agent, limits=runs.limits, now=time.time())
        return new_id, run

    new_id, run = in_program_runs(target, retried)
    typer.echo(new_id)
    note(f"Waits for its turn in session {run.session_id!r}, in place of {known}.")


def _status(text: str) -> RunStatus:
    from licet.db.records import RunStatus
    from licet.errors import InvalidInputError

    if text.upper() not in _STATUSES:
        raise InvalidInputError("--status", f"one of {', '.join(_STATUSES)}, not {text!r}")
    return RunStatus(text.upper())


def _known(run_id: str) -> str:
    from licet.os import values

    return values.identifier(run_id, "RUN-ID")


async def _newest(runs: ProgramRuns, query: RecentRuns) -> list[tuple[RunHead, str]]:
    """The newest of all databases, each with the id of its own."""
    found = [(head, db.id) for db in runs.dbs for head in await runs.store(db).recent_runs(query)]
    found.sort(key=lambda each: (each[0].created_at_us, each[0].run_id), reverse=True)
    return found[: query.limit]


async def _ended(store: Store, run_id: str) -> RunRecord | None:
    """The run once it has ended, or as it is after a while. None: it was deleted meanwhile."""
    from licet.db.run_states import UNENDED

    until = time.monotonic() + _PATIENCE_SECONDS
    run = await store.find_run(run_id)
    while run is not None and run.status in UNENDED and time.monotonic() < until:
        await asyncio.sleep(_LOOK_SECONDS)
        run = await store.find_run(run_id)
    return run


def _outcome(run_id: str, run: RunRecord | None, *, is_worked_on: bool) -> str:
    from licet.db.run_states import ENDED

    if run is None:
        return f"Run {run_id} was deleted meanwhile."
    if run.status.value == "CANCELLED":
        return f"Run {run_id} is cancelled."
    if run.status in ENDED:
        return f"Run {run_id} ended {run.status} before it could be stopped."
    if is_worked_on:
        return (
            f"Run {run_id} was asked to stop {_PATIENCE_SECONDS:g} seconds ago, and is at work "
            f"still, in {run.executor_id}: it stops as soon as that process hears of it."
        )
    return (
        f"Run {run_id} was asked to stop, but the process that worked on it has ended "
        f"({run.executor_id}): it ends when a server of this program sees to it."
    )
