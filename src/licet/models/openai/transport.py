"""The Transport protocol: how a request gets to a server, and its answer back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from licet.models.openai.failure import Failures


@dataclass(frozen=True, slots=True)
class Body:
    """A request's JSON object: its members, and their encoding."""

    members: Mapping[str, Any] = field(repr=False)
    encoded: bytes = field(repr=False)
    stream: bool = False


class Reply(Protocol):
    """An answer whose head has arrived. Must be closed."""

    @property
    def status(self) -> int:
        """The HTTP status."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The answer's headers; names in any case."""

    async def read_piece(self) -> bytes:
        """The next bytes of the content, as they arrive; empty at its end.

        Raises:
            ModelUnavailableError: the connection broke, or nothing came for too long.
        """

    async def aclose(self) -> None:
        """Give the connection back if the content was read to its end; else close it."""


class Transport(Protocol):
    """A way to a server. Shared by concurrent requests, and by event loops one after another."""

    async def open(self, body: Body) -> tuple[Reply, Failures]:
        """Send a request. The second value makes the errors of its answer.

        Raises:
            ModelError: no answer came, or the transport itself refused what came.
        """

    async def aclose(self) -> None:
        """Give the connections of this event loop back."""
