"""Agent: a model with instructions, tools and a memory of its sessions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from typing import Any, Literal, overload

from pydantic import BaseModel

from licet.agent.blocking import run_blocking, stream_blocking
from licet.agent.decisions import Decision, approved, decided, undecided
from licet.agent.events import AgentEvent
from licet.agent.output import RunInput, RunOutput
from licet.agent.output_schema import OutputSchema
from licet.agent.resuming import NotPausedError
from licet.agent.run import AgentRun
from licet.agent.run_request import RunRequest, new_id
from licet.agent.settings import AgentSettings
from licet.db.approval_records import ApprovalRecord
from licet.db.base import NOBODY, Access, Store
from licet.db.records import RunStatus
from licet.models.message import Image, TextFile


class Agent(AgentSettings):
    """An agent that runs. Its arguments are those of ``AgentSettings``.

    In a server it is run for whoever asks, under their own name; by itself it runs for nobody, and
    what it stores is nobody's.
    """

    @overload
    def run(self, input: str, *, stream: Literal[False] = False, **given: Any) -> RunOutput: ...
    @overload
    def run(self, input: str, *, stream: Literal[True], **given: Any) -> Iterator[AgentEvent]: ...
    def run(
        self, input: str, *, stream: bool = False, **given: Any
    ) -> RunOutput | Iterator[AgentEvent]:
        """``arun`` for programs without an event loop; takes the same arguments."""
        if stream:
            return stream_blocking(lambda: self.arun(input, stream=True, **given))
        return run_blocking(lambda: self.arun(input, stream=False, **given))

    @overload
    def arun(
        self, input: str, *, stream: Literal[False] = False, **given: Any
    ) -> Coroutine[Any, Any, RunOutput]: ...
    @overload
    def arun(
        self, input: str, *, stream: Literal[True], **given: Any
    ) -> AsyncIterator[AgentEvent]: ...
    def arun(
        self, input: str, *, stream: bool = False, **given: Any
    ) -> Coroutine[Any, Any, RunOutput] | AsyncIterator[AgentEvent]:
        """Run the agent once.

        Args:
            input: the user's message.
            stream: answer an iterator of events instead of the output.
            **given: ``session_id`` (a new session when absent), ``user_id``, ``images``,
                ``files``, ``session_state``, ``dependencies``, ``metadata``, ``output_schema``.

        A run that fails is an output whose ``status`` is ERROR; nothing is raised for it.
        """
        request = self._request(input, **given)
        if stream:
            return self._events(request)
        return self._output(request)

    def continue_run(self, run: RunOutput, decisions: Sequence[Decision] = ()) -> RunOutput:
        """``acontinue_run`` for programs without an event loop."""
        return run_blocking(lambda: self.acontinue_run(run, decisions))

    async def acontinue_run(self, run: RunOutput, decisions: Sequence[Decision] = ()) -> RunOutput:
        """Go on with a run that this agent paused, when all that it waits with is decided.

        Args:
            run: as ``arun`` answered it: its status is PAUSED.
            decisions: what its owner decided. Approvals are taken from the agent's ``db``.

        Raises:
            InvalidInputError: a decision is about no call that waits.
            NotPausedError: it waits for something else still, or waits no more.
        """
        store, paused_at_us = await self._store(), 0
        approvals: Sequence[ApprovalRecord] = ()
        if self.db is not None and store is not None:
            row = await store.find_run(run.run_id)
            # It may have paused anew since: from an earlier pause it has gone on already.
            if row is None or RunOutput.from_json(row.body).leg != run.leg:
                raise NotPausedError("The run does not wait any more")
            paused_at_us = row.updated_at_us
            approvals = await self.db.approvals().of_run(run.run_id)
        paused = approved(decided(run, decisions, self.functions), approvals)
        if run.status is not RunStatus.PAUSED or undecided(paused):
            raise NotPausedError(f"The run is {run.status}, and waits for decisions of every call")
        request = RunRequest(
            input=run.input,
            run_id=run.run_id,
            session_id=run.session_id,
            user_id=run.user_id,
            metadata=run.metadata,
        )
        work = AgentRun(self, request, store=store, resumed=paused)
        await work.go_on(paused_at_us=paused_at_us)
        return await work.finish()

    def _request(
        self,
        input: str,
        *,
        session_id: str | None = None,
        user_id: str | None = None,
        images: Sequence[Image] = (),
        files: Sequence[TextFile] = (),
        session_state: Mapping[str, Any] | None = None,
        dependencies: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        output_schema: type[BaseModel] | Mapping[str, Any] | None = None,
    ) -> RunRequest:
        return RunRequest(
            input=RunInput(input, tuple(images), tuple(files)),
            run_id=new_id(),
            session_id=session_id or new_id(),
            owner=NOBODY,
            user_id=user_id,
            session_state=session_state,
            dependencies=dependencies,
            metadata=metadata,
            output_schema=None if output_schema is None else OutputSchema.of(output_schema),
        )

    async def _store(self) -> Store | None:
        if self.db is None:
            return None
        await self.db.open()
        return self.db.store(Access(NOBODY))

    async def _output(self, request: RunRequest) -> RunOutput:
        run = AgentRun(self, request, store=await self._store())
        await run.begin()
        return await run.finish()

    async def _events(self, request: RunRequest) -> AsyncIterator[AgentEvent]:
        queue: asyncio.Queue[AgentEvent | None] = asyncio.Queue()
        run = AgentRun(self, request, store=await self._store(), emit=queue.put_nowait)
        await run.begin()
        task = asyncio.ensure_future(run.finish())
        task.add_done_callback(lambda _: queue.put_nowait(None))
        try:
            while (event := await queue.get()) is not None:
                yield event
            await task
        finally:
            if not task.done():
                task.cancel("the reader left")
                await asyncio.wait([task])
