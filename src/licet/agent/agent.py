"""Agent: a model with instructions, tools and a memory of its sessions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from typing import Any, Literal, overload

from pydantic import BaseModel

from licet.agent.blocking import run_blocking, stream_blocking
from licet.agent.events import AgentEvent
from licet.agent.output import RunInput, RunOutput
from licet.agent.output_schema import OutputSchema
from licet.agent.run import AgentRun
from licet.agent.run_request import RunRequest, new_id
from licet.agent.settings import AgentSettings
from licet.db.base import NOBODY, Access, Store
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
