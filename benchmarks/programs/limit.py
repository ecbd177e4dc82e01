"""The limit: what any server in Python would do at least, and nothing else.

``limit.py PORT proxy`` forwards one streamed model call, in whatever pieces it comes;
``proxy_by_event`` sends each of its events on by itself, as whoever looks into them has to.
``limit.py PORT route`` is one route of bare FastAPI. All have the settings of uvicorn that Licet
serves with, and none looks at a token.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

import uvicorn


class Proxy:
    """A bare ASGI app: whatever is asked, one streamed model call is made and passed on."""

    def __init__(self, model_url: str, *, by_event: bool) -> None:
        self._by_event = by_event
        self._url = f"{model_url}/chat/completions"
        self._session: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request; the model's pieces go out as they come in."""
        import aiohttp

        if scope["type"] != "http":
            return
        if scope["method"] == "GET":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0)
            self._session = aiohttp.ClientSession(connector=connector)
        said = {"role": "user", "content": body.decode()}
        asked = json.dumps({"model": "scripted", "stream": True, "messages": [said]})
        kind = {"content-type": "application/json"}
        async with self._session.post(self._url, data=asked, headers=kind) as answer:
            await send(
                {
                    "type": "http.response.start",
                    "status": answer.status,
                    "headers": [(b"content-type", b"text/event-stream")],
                }
            )
            async for piece in self._pieces(answer.content):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def _pieces(self, content: Any) -> AsyncIterator[bytes]:
        rest = b""
        async for piece in content.iter_any():
            if not self._by_event:
                yield piece
                continue
            *events, rest = (rest + piece).split(b"\n\n")
            for event in events:
                yield event + b"\n\n"


def route() -> Any:
    """Bare FastAPI, with one route that answers about what ``GET /agents`` does."""
    from fastapi import FastAPI

    app = FastAPI()

    @app.get("/agents")
    async def agents() -> list[dict[str, Any]]:
        model = {"name": "OpenAIChat", "model": "gpt-4o", "provider": "OpenAI"}
        history = {"add_history_to_context": True}
        agent = {"id": "bench", "name": "Bench", "db_id": "sqlite-0123456789ab", "model": model}
        return [{**agent, "sessions": history}]

    return app


def app(kind: str) -> Any:
    """One of the three."""
    if kind == "route":
        return route()
    return Proxy(os.environ["OPENAI_BASE_URL"], by_event=kind == "proxy_by_event")


if __name__ == "__main__":
    uvicorn.run(
        app(sys.argv[2]),
        port=int(sys.argv[1]),
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
    )
