"""The request id: the one text that names a request, in its answer, in its runs and in the log.

The edge gives it (``licet.os.middleware.request_id``), and it travels with the context from there:
whatever a request starts, tasks and the threads of tools, has it. Imports nothing of licet.
"""

from __future__ import annotations

import logging
from contextvars import ContextVar

REQUEST_ID: ContextVar[str | None] = ContextVar("licet.request_id", default=None)
"""The id of the request that is being answered here; None: of none."""

_NONE = "-"


class RequestIdFilter(logging.Filter):
    """Gives log records the ``request_id`` under which they were written; ``-``: under none.

    It belongs on a handler, where it sees the records of all loggers, and refuses none.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add it, unless the record brings one."""
        record.__dict__.setdefault("request_id", REQUEST_ID.get() or _NONE)
        return True
