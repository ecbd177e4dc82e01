"""The row of a run: written when it begins, and again when it ends, whatever it came to."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any

import msgspec

from licet.agent.nesting import MAX_JSON_DEPTH, deeper_than
from licet.agent.output import RunOutput
from licet.db.approval_records import ApprovalRecord
from licet.db.base import Store
from licet.db.records import BegunRun, RunRecord, RunStatus, Saving, SessionKey, SessionRecord
from licet.db.work_records import JobRecord, Once, QueueLimits
from licet.errors import LicetError, StorageUnavailableError

logger = logging.getLogger(__name__)

_FIRST_INPUT_CHARS = 280
# A database that restarts is waited for: the answer exists only here until it is stored.
_RETRY_AFTER_SECONDS = (0.1, 0.4, 1.0, 2.0, 4.0)


class StateError(LicetError):
    """A tool left something in the session's state that cannot be stored."""

    code = "session_state"


@dataclass(frozen=True, slots=True)
class Waits:
    """What goes with a run that has paused: what it needs to go on, and what it waits for."""

    job: JobRecord | None
    approvals: tuple[ApprovalRecord, ...]


class RunRow:
    """One run in a store.

    Args:
        store: where it is kept.
        owner: whose it is.
        began: when the run began, in epoch seconds.
        now: gives epoch seconds.
        executor_id: the process that works on it; None: none that anybody watches over.
        durable: whether another process goes on with it when that one dies.
    """

    def __init__(
        self,
        store: Store,
        *,
        owner: str,
        began: float,
        now: Callable[[], float],
        executor_id: str | None = None,
        durable: bool = False,
    ) -> None:
        self._store = store
        self._owner = owner
        self._durable = durable
        self._began_us = int(began * 1_000_000)
        self._now = now
        self._executor_id = executor_id
        self._stored_state = b"{}"

    async def begin(
        self,
        asked: RunOutput,
        *,
        first_state: dict[str, Any],
        history_runs: int,
        once: Once | None = None,
    ) -> BegunRun:
        """Store what was asked, and the session where it is new, with its first state.

        Raises:
            RepeatedRequestError: ``once`` was used before; nothing was stored.
            StorageError: it could not be stored.
        """
        begun = await self._store.begin_run(
            self._session(asked, first_state),
            self._record(asked),
            history_runs=history_runs,
            once=once,
        )
        return self._begun(begun)

    async def enqueue(
        self,
        asked: RunOutput,
        job: JobRecord,
        *,
        first_state: dict[str, Any],
        limits: QueueLimits,
        once: Once | None = None,
    ) -> None:
        """Store what was asked as a run that waits to be worked on.

        Raises:
            QueueFullError: too many wait; nothing was stored.
            RepeatedRequestError: ``once`` was used before; nothing was stored.
            StorageError: it could not be stored.
        """
        await self._store.enqueue_run(
            self._session(asked, first_state), self._record(asked), job, limits=limits, once=once
        )

    async def work_on(self, running: RunOutput, *, history_runs: int) -> BegunRun | None:
        """Store that a run that waited is worked on. None: it is not this process's to work on.

        Raises:
            StorageError: it could not be stored.
        """
        begun = await self._store.work_on_run(self._record(running), history_runs=history_runs)
        return None if begun is None else self._begun(begun)

    def _session(self, asked: RunOutput, first_state: dict[str, Any]) -> SessionRecord:
        return SessionRecord(
            owner=self._owner,
            session_id=asked.session_id,
            component_id=asked.agent_id,
            user_id=asked.user_id,
            first_input=asked.input.input_content[:_FIRST_INPUT_CHARS],
            session_state=first_state,
            created_at_us=self._began_us,
            updated_at_us=self._began_us,
        )

    def _begun(self, begun: BegunRun) -> BegunRun:
        self._stored_state = msgspec.json.encode(begun.session.session_state)
        return begun

    async def go_on(
        self, running: RunOutput, *, paused_at_us: int, history_runs: int
    ) -> BegunRun | None:
        """Store that a run which has paused goes on here. None: it does not wait any more.

        Raises:
            StorageError: it could not be stored.
        """
        begun = await self._store.continue_run(
            self._record(running), paused_at_us=paused_at_us, history_runs=history_runs
        )
        return None if begun is None else self._begun(begun)

    async def end(self, output: RunOutput, *, waits: Waits | None = None) -> RunOutput:
        """Store what was reached; answers it, or the failure where it cannot be stored.

        Where somebody else has ended the run, or works on it now, the answer is what they stored.
        ``waits`` goes with a run that has paused. One that was asked to stop does not pause: the
        answer is then what it was before, RUNNING.
        """
        try:
            state = output.session_state or {}
            changed = state if state_json(state) != self._stored_state else None
            saving = await self._save(output, changed, waits)
            return await self._stored(output) if saving is Saving.REFUSED else output
        except Exception as error:
            # A tool's value or the answer's own may be what cannot be written: then it is no
            # LicetError, and the run must not seem to work for ever.
            logger.exception("run %s could not be stored", output.run_id)
            failed = self._failure(output, error)
            # Mostly it is a value that cannot be: without it the row says at least why it ended.
            with suppress(LicetError):
                saving = await self._store.save_run(self._record(failed), session_state=None)
                return await self._stored(failed) if saving is Saving.REFUSED else failed
            return failed

    async def _save(
        self, output: RunOutput, state: dict[str, Any] | None, waits: Waits | None
    ) -> Saving:
        record = self._record(output)
        delays: Iterator[float] = iter(_RETRY_AFTER_SECONDS)
        if self._durable:
            # Whoever goes on with it would have to wait, too; ended, nobody would go on with it.
            delays = chain(delays, repeat(_RETRY_AFTER_SECONDS[-1]))
        for delay_seconds in delays:
            try:
                return await self._write(record, state, waits)
            except StorageUnavailableError:
                await asyncio.sleep(delay_seconds)
        return await self._write(record, state, waits)

    async def _write(
        self, record: RunRecord, state: dict[str, Any] | None, waits: Waits | None
    ) -> Saving:
        if waits is None:
            return await self._store.save_run(record, session_state=state)
        return await self._store.pause_run(
            record, session_state=state, job=waits.job, approvals=waits.approvals
        )

    async def _stored(self, output: RunOutput) -> RunOutput:
        """The run as it is stored; what was reached here, where it was deleted meanwhile."""
        key = SessionKey(self._owner, output.session_id)
        run = await self._store.get_run(key, output.run_id)
        return output if run is None else RunOutput.from_json(run.body)

    def _failure(self, output: RunOutput, error: Exception) -> RunOutput:
        # Other errors may name hosts and files, or hold anything: their text goes to the log.
        why = f": {error}" if isinstance(error, StateError) else ""
        return msgspec.structs.replace(
            output,
            status=RunStatus.ERROR,
            content=f"The run ended {output.status} but could not be stored{why}",
            content_type="str",
            session_state=msgspec.json.decode(self._stored_state),
            error_type=error.code if isinstance(error, LicetError) else "not_storable",
        )

    def _record(self, output: RunOutput) -> RunRecord:
        return RunRecord(
            owner=self._owner,
            session_id=output.session_id,
            run_id=output.run_id,
            component_id=output.agent_id,
            user_id=output.user_id,
            status=output.status,
            body=output.to_json(),
            total_tokens=output.metrics.total_tokens if output.metrics else 0,
            created_at_us=self._began_us,
            updated_at_us=int(self._now() * 1_000_000),
            executor_id=None if output.status is RunStatus.PENDING else self._executor_id,
            durable=self._durable,
        )


def state_json(state: Mapping[str, Any]) -> bytes:
    """A state as JSON, if it can be stored and read again.

    Raises:
        StateError: it cannot.
    """
    if deeper_than(state, MAX_JSON_DEPTH):
        raise StateError(f"session_state is nested deeper than {MAX_JSON_DEPTH} levels")
    try:
        return msgspec.json.encode(state)
    except TypeError as error:
        raise StateError(
            "session_state holds a value that JSON cannot; "
            "keep only strings, numbers, booleans, None, lists and dictionaries in it"
        ) from error
    except ValueError as error:
        raise StateError(f"session_state is no JSON ({type(error).__name__})") from error
