"""``trivial.py PORT``: answers without a look at what is asked; what the load itself can drive.

A GET gets a line of JSON, anything else the 50 tokens of the model, each in a chunk of its own.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import uvloop

from licet.testing.openai_script import Answer, numbered_text, stream_events

BODY = b'{"answer":42}'
SHORT = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY)
LONG = b"".join(
    [
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        *(
            b"%x\r\n%b\r\n" % (len(event), event)
            for event in stream_events(Answer(text=numbered_text(50)), "scripted")
        ),
        b"0\r\n\r\n",
    ]
)


class Connection(asyncio.Protocol):
    """One client, whose requests come in one piece each."""

    def connection_made(self, transport: Any) -> None:
        """Somebody came."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer."""
        self._transport.write(SHORT if data.startswith(b"GET") else LONG)


async def serve(port: int) -> None:
    """Serve until the process is ended."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(int(sys.argv[1])))
