"""One run of an agent: stored, worked on, stored again.

The order is the guarantee: what was asked is committed before any model is called, and a run that
fails or is stopped is a row that says why.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import msgspec

from licet.agent.dependencies import resolved
from licet.agent.events import Emit
from licet.agent.execution import BY_ITSELF, Execution, Stop
from licet.agent.loop import Answer, Progress, Task, run_loop
from licet.agent.output import Metrics, RunOutput
from licet.agent.pausing import paused, waits_of
from licet.agent.prompt import history_messages, system_message, user_message
from licet.agent.resuming import NotPausedError, going_on
from licet.agent.run_request import RunRequest, asked
from licet.agent.run_row import RunRow, Waits
from licet.agent.settings import AgentSettings
from licet.agent.steps import PLAIN_STEPS, KeptError, Steps
from licet.agent.telling import Teller
from licet.cancelled import Cancelled
from licet.context import RunContext
from licet.db.base import Store
from licet.db.records import BegunRun, RunStatus
from licet.db.work_records import JobRecord, Once, QueueLimits
from licet.errors import LicetError
from licet.log_context import RunInLog

logger = logging.getLogger(__name__)


class AgentRun:
    """One run. ``begin`` it, then ``finish`` it, each once; ``stop`` it in between.

    A durable run is begun by ``enqueue``, in the process that was asked, and by ``work_on`` in each
    process that works on it.

    Args:
        agent: whose settings the run follows.
        request: what was asked.
        store: where the run is kept; None keeps it nowhere.
        emit: takes the events; None: the model is not streamed and no event is built.
        execution: how it is worked on.
        resumed: a run that paused, with what was decided since: it is gone on with.
        now: gives epoch seconds.
    """

    def __init__(
        self,
        agent: AgentSettings,
        request: RunRequest,
        *,
        store: Store | None = None,
        emit: Emit | None = None,
        execution: Execution = BY_ITSELF,
        resumed: RunOutput | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.agent = agent
        self.request = request
        self._now = now
        self._execution = execution
        self._began = now() if execution.began is None else execution.began
        self._resumed = resumed
        self._works_since = now() if resumed else self._began
        self._worked_seconds = (resumed.metrics or Metrics()).duration if resumed else 0.0
        self._row = (
            None
            if store is None
            else RunRow(
                store,
                owner=request.owner,
                began=self._began,
                now=now,
                executor_id=execution.executor_id,
                durable=execution.durable,
            )
        )
        self._output_schema = request.output_schema or agent.output_schema_ready
        self.output = (
            asked(agent, request, began=self._began) if resumed is None else going_on(resumed)
        )
        self._tell = Teller(self.output, model=agent.model, emit=emit, now=now)
        self._opening = user_message(request.input, now=self._began)
        self._history: tuple[bytes, ...] = ()
        self._state: dict[str, Any] = {}
        self._stopped: Stop | None = None
        self._cancelled = Cancelled()
        self._ending = False
        self._left = False

    @property
    def state(self) -> dict[str, Any]:
        """The session's state as the run has it; tools change it in place."""
        return self._state

    @property
    def stopped(self) -> bool:
        """Whether it was said that the run is to end before its answer."""
        return self._stopped is not None

    def stop(self, stop: Stop) -> bool:
        """Say why the run is to end before its answer. Whoever says so first cancels its task, too.

        A run whose ``finish`` has not begun yet ends there, without asking any model. False: it
        was said before, or the run is ending: cancelled then, it would be stored as if at work.
        """
        if self._ending or self._stopped is not None:
            return False
        self._stopped = stop
        self._cancelled.set(stop.reason)
        return True

    def leave(self) -> None:
        """From here on, a cancellation stores nothing: somebody else goes on with the run."""
        self._left = True

    @property
    def was_left(self) -> bool:
        """Whether somebody else goes on with it."""
        return self._left

    async def begin(self, *, once: Once | None = None) -> RunOutput:
        """Store the run. When this returns, what was asked can no longer be lost.

        Raises:
            RepeatedRequestError: ``once`` was used before; nothing was begun.
            StorageError: it could not be stored; nothing was begun.
        """
        begun = None
        if self._row is not None:
            begun = await self._row.begin(
                self._opened(RunStatus.RUNNING),
                first_state=dict(self.agent.session_state),
                history_runs=self._history_runs,
                once=once,
            )
        self._start(begun)
        return self.output

    async def go_on(self, *, paused_at_us: int) -> RunOutput:
        """As ``begin``, of a run that paused then: ``updated_at_us`` of its row.

        Raises:
            NotPausedError: it waits no more: somebody else goes on with it, or it has ended.
            StorageError: it could not be stored; nothing was begun.
        """
        begun = None
        if self._row is not None:
            begun = await self._row.go_on(
                self.output, paused_at_us=paused_at_us, history_runs=self._history_runs
            )
            if begun is None:
                raise NotPausedError("The run does not wait any more")
        self._start(begun)
        return self.output

    async def enqueue(
        self, job: JobRecord, *, limits: QueueLimits, once: Once | None = None
    ) -> RunOutput:
        """Store the run, to be worked on by whichever process takes it. It has a store.

        Raises:
            QueueFullError: too many wait; nothing was begun.
            RepeatedRequestError: ``once`` was used before; nothing was begun.
            StorageError: it could not be stored; nothing was begun.
        """
        assert self._row is not None  # noqa: S101 - as the docstring says
        self.output = self._opened(RunStatus.PENDING)
        await self._row.enqueue(
            self.output,
            job,
            first_state=dict(self.agent.session_state),
            limits=limits,
            once=once,
        )
        return self.output

    async def work_on(self) -> bool:
        """Begin with, or go on with, a run that was enqueued. False: it is not this process's.

        Raises:
            StorageError: it could not be stored.
        """
        assert self._row is not None  # noqa: S101 - it was enqueued, so it has a row
        begun = await self._row.work_on(
            self._opened(RunStatus.RUNNING), history_runs=self._history_runs
        )
        if begun is not None:
            self._start(begun)
        return begun is not None

    @property
    def _history_runs(self) -> int:
        return self.agent.num_history_runs if self.agent.add_history_to_context else 0

    def _opened(self, status: RunStatus) -> RunOutput:
        if self._resumed is not None:
            return self.output
        return msgspec.structs.replace(self.output, status=status, messages=(self._opening,))

    def _start(self, begun: BegunRun | None) -> None:
        stored_state: dict[str, Any] = {}
        if begun is not None:
            stored_state, self._history = begun.session.session_state, begun.history
        # Tools change the state in place: nothing of it may be the agent's or another run's own.
        self._state = {
            **deepcopy(dict(self.agent.session_state)),
            **deepcopy(stored_state),
            **((self.request.session_state or {}) if self._resumed is None else {}),
        }
        self.output = msgspec.structs.replace(self.output, session_state=self._state)
        if self._resumed is None:
            self._tell.run_started()
        else:
            self._tell.run_continued()

    async def finish(self, steps: Steps = PLAIN_STEPS) -> RunOutput:
        """Work until the answer, store it, and tell it. A failure is an answer too.

        ``steps`` are how model calls and tool calls are done.

        Raises:
            asyncio.CancelledError: the run was cancelled; it is stored as such, with the reason,
                unless it was left.
        """
        principal, observer = self.request.principal, self._execution.observer
        owner = None if principal is None else principal.owner
        with (
            RunInLog(self.request.run_id, principal=owner),
            observer.run(self.agent, self.request) as observed,
        ):
            try:
                return await self._finish(steps)
            finally:
                observed.came_to(self.output)

    async def _finish(self, steps: Steps) -> RunOutput:
        progress = Progress(messages=[])
        try:
            answer = await self._work(progress, steps)
        except asyncio.CancelledError as error:
            if self._left or self._is_taken_away():
                raise
            stop = self._stopped or Stop(str(error.args[0]) if error.args else "cancelled")
            await self._cancel(progress, stop)
            raise
        except LicetError as error:
            cause = f" ({error.__cause__!r})" if error.__cause__ is not None else ""
            logger.warning(
                "run %s of agent %r failed: %s%s",
                self.request.run_id,
                self.agent.id,
                error,
                cause,
            )
            code = error.kept_code if isinstance(error, KeptError) else error.code
            return await self._fail(progress, str(error), code)
        except Exception as error:
            # The text of an unforeseen exception may hold anything: it goes to the log alone.
            logger.exception("run %s of agent %r failed", self.request.run_id, self.agent.id)
            name = type(error).__name__
            return await self._fail(progress, f"Internal error ({name})", "internal_error")
        self._tell.content_completed()
        if answer is None:
            return await self._pause(progress)
        self.output = await self._end(self._ended(progress, RunStatus.COMPLETED, answer.content))
        self._tell.run_ended(self.output)
        return self.output

    async def _pause(self, progress: Progress) -> RunOutput:
        """Store that the run waits for people, unless it was asked to stop."""
        output = msgspec.structs.replace(
            paused(self._ended(progress, RunStatus.PAUSED, None)),
            next_event_index=self._execution.next_event_index() + self._tell.listening,
        )
        now_us = int(self._now() * 1_000_000)
        waits = waits_of(output, self.request, self._execution, now_us=now_us)
        output = await self._end(output, waits=waits)
        if output.status is RunStatus.RUNNING:
            return await self._cancel(progress, Stop("cancelled on request"))
        self.output = output
        self._tell.run_ended(output)
        return output

    async def _cancel(self, progress: Progress, stop: Stop) -> RunOutput:
        self._cancelled.set(stop.reason)
        output = msgspec.structs.replace(
            self._ended(progress, RunStatus.CANCELLED, str(progress.shown)),
            error_type=stop.code,
            cancellation_reason=stop.reason,
        )
        self.output = await self._end(output)
        self._tell.run_ended(self.output)
        return self.output

    async def _work(self, progress: Progress, steps: Steps) -> Answer | None:
        agent, request = self.agent, self.request
        system = system_message(agent, now=self._began)
        before = (*((system,) if system else ()), *history_messages(self._history))
        if self._resumed is None:
            progress.messages.extend((*before, self._opening))
        else:
            progress.resume(self._resumed, before=before)
        self._heed_stop()
        await self._check(())
        context = RunContext(
            run_id=request.run_id,
            session_id=request.session_id,
            agent_id=agent.id,
            user_id=request.user_id,
            request_id=request.request_id,
            principal=request.principal,
            session_state=self._state,
            dependencies=await resolved({**agent.dependencies, **(request.dependencies or {})}),
            metadata=self.output.metadata or {},
            cancelled=self._cancelled,
        )
        task = Task(
            model=agent.model,
            functions=agent.functions,
            schemas=agent.schemas,
            context=context,
            output_schema=self._output_schema,
            tool_call_limit=agent.tool_call_limit,
            retries=agent.retries,
            steps=steps,
            check=self._check,
            observer=self._execution.observer,
        )
        answer = await run_loop(task, progress, self._tell)
        # Something on the way may have taken the cancellation for its own (wait_for, a tool).
        self._heed_stop()
        return answer

    async def _check(self, tools: Sequence[str]) -> None:
        """Ask once more whether whoever asked for this may have it, and have those tools called."""
        reason = await self._execution.lost(tools)
        if reason is not None:
            self.stop(Stop(reason, "revoked"))
            self._heed_stop()

    def _is_taken_away(self) -> bool:
        """Whether something cancels a durable run that nobody stopped: a process that ends."""
        task = asyncio.current_task()
        cancelled = task is not None and task.cancelling() > 0
        self._left = self._execution.durable and self._stopped is None and cancelled
        return self._left

    def _heed_stop(self) -> None:
        if self._stopped is not None:
            raise asyncio.CancelledError

    async def _fail(self, progress: Progress, why: str, error_type: str) -> RunOutput:
        output = self._ended(progress, RunStatus.ERROR, why)
        self.output = await self._end(msgspec.structs.replace(output, error_type=error_type))
        self._tell.run_ended(self.output)
        return self.output

    def _ended(self, progress: Progress, status: RunStatus, content: Any) -> RunOutput:
        # The system message is the operator's word: whoever may run an agent need not read it.
        own = tuple(m for m in progress.messages if not m.from_history and m.role != "system")
        own = own or (self._opening,)
        schema = self._output_schema
        structured = schema is not None and not isinstance(content, str)
        return msgspec.structs.replace(
            self.output,
            status=status,
            content=content,
            content_type=schema.format.name if schema and structured else "str",
            messages=own,
            tools=(*progress.tools, *progress.decided),
            reasoning_content=progress.reasoning or None,
            session_state=self._state,
            metrics=Metrics.of(
                progress.usage,
                duration=self._worked_seconds + self._now() - self._works_since,
                first_token=progress.first_token_seconds,
            ),
        )

    async def _end(self, output: RunOutput, *, waits: Waits | None = None) -> RunOutput:
        self._ending = True
        return output if self._row is None else await self._row.end(output, waits=waits)
