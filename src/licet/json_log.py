"""JsonFormatter: a log whose lines are JSON objects, for programs that read logs.

Our own, in forty lines: what a line tells beside its text are context variables of ours, and a
library for the rest would be one more dependency of every server. Imports nothing of licet beside
them.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

from licet.log_context import PRINCIPAL, RUN_ID, TRACE_ID
from licet.request_id import REQUEST_ID

_ACCESS_LOGGER = "uvicorn.access"
_ACCESS_FIELDS = ("client", "method", "path", "http_version", "status")
_CONTEXT = {
    "request_id": REQUEST_ID,
    "run_id": RUN_ID,
    "principal": PRINCIPAL,
    "trace_id": TRACE_ID,
}


class JsonFormatter(logging.Formatter):
    """One object a line: ``time`` (RFC 3339, UTC), ``level``, ``logger``, ``message``.

    ``request_id``, ``run_id``, ``principal`` (an owner key, ``default|uma``) and ``trace_id`` stand
    there where they are known; ``exception`` holds a whole traceback. A line of uvicorn's access
    log has ``client``, ``method``, ``path``, ``http_version`` and ``status`` too. Only ASCII is
    written: nothing that a client sent can end a line, or steer a terminal.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_known_of_its_place(),
            **_access(record),
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = self.formatStack(record.stack_info)
        return json.dumps(line, ensure_ascii=True, default=str)


def _known_of_its_place() -> dict[str, str]:
    known = ((name, variable.get()) for name, variable in _CONTEXT.items())
    return {name: value for name, value in known if value is not None}


def _access(record: logging.LogRecord) -> dict[str, Any]:
    """What uvicorn says of a request, field by field."""
    arguments = record.args
    if record.name != _ACCESS_LOGGER or not isinstance(arguments, tuple):
        return {}
    if len(arguments) != len(_ACCESS_FIELDS):
        return {}
    return dict(zip(_ACCESS_FIELDS, arguments, strict=True))
