from __future__ import annotations

import asyncio
import logging
from contextvars import copy_context

import pytest

from licet.request_id import REQUEST_ID, RequestIdFilter


def line(**extra: object) -> logging.LogRecord:
    """A log record that went through the filter."""
    record = logging.LogRecord("licet", logging.INFO, __file__, 1, "said", None, None)
    record.__dict__.update(extra)
    assert RequestIdFilter().filter(record)
    return record


def tagged(**extra: object) -> object:
    return line(**extra).__dict__["request_id"]


def test_lines_tell_the_request_in_which_they_were_written() -> None:
    def in_a_request() -> object:
        REQUEST_ID.set("r-1")
        return tagged()

    assert copy_context().run(in_a_request) == "r-1"
    assert tagged() == "-"


def test_a_record_that_brings_an_id_keeps_it() -> None:
    assert tagged(request_id="its own") == "its own"


async def test_tasks_belong_to_the_request_that_started_them() -> None:
    async def said() -> object:
        return tagged()

    token = REQUEST_ID.set("r-2")
    task = asyncio.create_task(said())
    REQUEST_ID.reset(token)
    assert await task == "r-2"
    assert await asyncio.create_task(said()) == "-"


def test_a_handler_gives_it_to_the_lines_of_all_loggers(
    capsys: pytest.CaptureFixture[str],
) -> None:
    handler = logging.StreamHandler()
    handler.addFilter(RequestIdFilter())
    handler.setFormatter(logging.Formatter("[%(request_id)s] %(message)s"))
    handler.handle(logging.makeLogRecord({"name": "of.somebody.else", "msg": "hello"}))
    assert capsys.readouterr().err == "[-] hello\n"
