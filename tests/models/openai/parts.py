"""What the tests of this folder share."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from licet.models.base import ModelRequest
from licet.models.message import Message
from licet.models.openai import OpenAIChat
from licet.models.openai.retry import RetryPolicy
from licet.testing.openai_server import OpenAIServer

KEY = "sk-test-0123456789abcdef"


@dataclass
class Naps:
    """A sleep that takes no time and remembers how long it was to take."""

    seconds: list[float] = field(default_factory=list)

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


def ask(text: str = "Hello?") -> ModelRequest:
    return ModelRequest(messages=[Message(role="user", content=text)])


def chat(server: OpenAIServer, naps: Naps | None = None, **settings: Any) -> OpenAIChat:
    policy = RetryPolicy(sleep=naps or Naps(), random=lambda: 0.0)
    return OpenAIChat(
        "gpt-test", base_url=server.base_url, api_key=KEY, retry_policy=policy, **settings
    )


def unheard(piece: str) -> None:
    """Makes the model stream, to nobody."""


@asynccontextmanager
async def raw_server(handler: Any, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Serve with ``handler`` alone; gives the base URL."""
    runner = web.ServerRunner(web.Server(handler))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()
