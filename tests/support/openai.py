"""The scripted OpenAI server, in a thread beside the test: a process would import for a second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import msgspec

from licet.testing.openai_script import Script
from licet.testing.openai_server import OpenAIServer

DEADLINE_SECONDS = 20.0


class _Begun(NamedTuple):
    base_url: str
    end: Callable[[], object]


@contextmanager
def scripted_openai(script: Mapping[str, Any]) -> Iterator[str]:
    """Serve a script; answers the server's address, without ``/v1``."""
    begun: Future[_Begun] = Future()
    server = OpenAIServer(msgspec.convert(script, type=Script))
    with ThreadPoolExecutor(1) as threads:
        ended = threads.submit(asyncio.run, _serve(server, begun))
        made = begun.result(DEADLINE_SECONDS)
        try:
            yield made.base_url.removesuffix("/v1")
        finally:
            made.end()
            ended.result(DEADLINE_SECONDS)


async def _serve(server: OpenAIServer, begun: Future[_Begun]) -> None:
    loop, end = asyncio.get_running_loop(), asyncio.Event()
    async with server:
        begun.set_result(_Begun(server.base_url, partial(loop.call_soon_threadsafe, end.set)))
        await end.wait()
    # The transports that were closed are rid of in the next turn of the loop.
    await asyncio.sleep(0)
