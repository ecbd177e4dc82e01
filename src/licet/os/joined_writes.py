"""Writes of one turn of the event loop, given to the system in one call.

An answer is written in two pieces, its headers and its body, and a stream in one for each event. To
give a piece to the system costs as much as to decide about the request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

# From here on it is for the transport to say that its client does not read.
_MAX_HELD_BYTES = 64 * 1024


class JoinedWrites(asyncio.Transport):
    """A transport that holds what is written until the turn ends, or ``flush`` is called.

    Args:
        transport: the real one.
        loop: whose turns they are.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.real = transport
        self._loop = loop
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._turn_is_awaited = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Hold a piece; no more than 64 KiB are held."""
        self._held.append(bytes(data))
        self._held_bytes += len(data)
        if self._held_bytes >= _MAX_HELD_BYTES:
            self.flush()
        elif not self._turn_is_awaited:
            self._turn_is_awaited = True
            self._loop.call_soon(self._turn_has_ended)

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Hold several."""
        for data in list_of_data:
            self.write(data)

    def flush(self) -> None:
        """Give away what is held."""
        held, self._held, self._held_bytes = self._held, [], 0
        if held and not self.real.is_closing():
            self.real.writelines(held)

    def close(self) -> None:
        """Close the transport when everything is written."""
        self.flush()
        self.real.close()

    def is_closing(self) -> bool:
        """Whether nothing more is written."""
        return self.real.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What the transport says."""
        return self.real.get_extra_info(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Another protocol reads from now on."""
        self.real.set_protocol(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """What reads."""
        return self.real.get_protocol()

    def _turn_has_ended(self) -> None:
        self._turn_is_awaited = False
        self.flush()
