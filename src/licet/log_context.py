"""What lines of the log tell of where they were written: run, principal, trace.

They travel with the context, as the request's id does (``licet.request_id``): whatever a run
starts, tasks and the threads of tools, has them. Imports nothing of licet.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from types import TracebackType

RUN_ID: ContextVar[str | None] = ContextVar("licet.run_id", default=None)
"""The run that is worked on here; None: none."""

PRINCIPAL: ContextVar[str | None] = ContextVar("licet.principal", default=None)
"""The owner key of whoever asked for what is done here, ``default|uma``; None: nobody is known."""

TRACE_ID: ContextVar[str | None] = ContextVar("licet.trace_id", default=None)
"""The trace that this belongs to, 32 hexadecimal digits; None: nothing is traced."""


class RunInLog:
    """Inside of the block, lines of the log tell of a run and of whoever asked for it.

    Args:
        run_id: the run.
        principal: the owner key; None: nobody was authenticated.
    """

    __slots__ = ("_principal", "_run_id", "_tokens")

    def __init__(self, run_id: str, *, principal: str | None) -> None:
        self._run_id = run_id
        self._principal = principal
        self._tokens: tuple[Token[str | None], Token[str | None]] | None = None

    def __enter__(self) -> None:
        self._tokens = (RUN_ID.set(self._run_id), PRINCIPAL.set(self._principal))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._tokens is not None  # noqa: S101 - it was entered
        RUN_ID.reset(self._tokens[0])
        PRINCIPAL.reset(self._tokens[1])
