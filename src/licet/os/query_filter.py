"""What is kept out of uvicorn's log: queries, in which clients put tokens although none is taken.

Also the headers of WebSocket handshakes, which the WebSocket library tells where all is told.
"""

from __future__ import annotations

import logging

_LOGGERS = ("uvicorn.access", "uvicorn.error")
# How the WebSocket library marks its lines: what came in, what went out, what was wrong with it.
_WIRE_MARKS = ("<", ">", "!")


class QueryFilter(logging.Filter):
    """Cuts queries off what a record names, and drops what WebSockets bring line by line."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is logged. Its arguments are changed: formatters may read them."""
        if record.levelno <= logging.DEBUG and str(record.msg).startswith(_WIRE_MARKS):
            return False
        if isinstance(record.args, tuple):
            record.args = tuple(_without_query(argument) for argument in record.args)
        return True


_FILTER = QueryFilter()


def keep_queries_out_of_the_log() -> None:
    """Put the filter where the records are made: whatever handles them, they come without queries.

    It stays there when logging is set up anew, and is there once however often it is put.
    """
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_FILTER)


def _without_query(argument: object) -> object:
    # A question mark of the path itself is escaped there. Not every target begins with a slash.
    return argument.partition("?")[0] if isinstance(argument, str) else argument
