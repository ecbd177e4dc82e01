from __future__ import annotations

import json
import logging
import sys
from contextvars import copy_context
from typing import Any

import pytest

from licet.json_log import JsonFormatter
from licet.log_context import PRINCIPAL, RUN_ID, TRACE_ID, RunInLog
from licet.request_id import REQUEST_ID


def line(
    message: str = "said", *arguments: Any, name: str = "licet", **given: Any
) -> dict[str, Any]:
    """A record as it is written."""
    record = logging.LogRecord(name, logging.INFO, __file__, 1, message, arguments, None)
    record.__dict__.update(given)
    text = JsonFormatter().format(record)
    assert text.isascii()
    assert "\n" not in text
    written: dict[str, Any] = json.loads(text)
    return written


def test_a_line_is_one_object() -> None:
    assert line("%s of %d", "one", 2, created=0.5) == {
        "time": "1970-01-01T00:00:00.500000+00:00",
        "level": "info",
        "logger": "licet",
        "message": "one of 2",
    }


def test_it_tells_of_the_place_where_it_was_written() -> None:
    def said() -> dict[str, Any]:
        REQUEST_ID.set("q")
        TRACE_ID.set("t")
        with RunInLog("r", principal="default|uma"):
            return line()

    told = copy_context().run(said)
    assert {name: told[name] for name in ("request_id", "run_id", "principal", "trace_id")} == {
        "request_id": "q",
        "run_id": "r",
        "principal": "default|uma",
        "trace_id": "t",
    }


def test_a_run_that_has_ended_is_told_of_no_more() -> None:
    with RunInLog("outer", principal="default|uma"):
        with RunInLog("inner", principal=None):
            assert (RUN_ID.get(), PRINCIPAL.get()) == ("inner", None)
            assert "principal" not in line()
        assert (RUN_ID.get(), PRINCIPAL.get()) == ("outer", "default|uma")
    assert "run_id" not in line()


def test_an_exception_is_one_field() -> None:
    try:
        int("broken")
    except ValueError:
        told = line(exc_info=sys.exc_info())
    assert told["exception"].startswith("Traceback (most recent call last):\n")
    assert told["exception"].endswith("invalid literal for int() with base 10: 'broken'")
    assert "exception" not in line(exc_info=(None, None, None))


def test_a_stack_is_one_field() -> None:
    assert line(stack_info="Stack:\n  here")["stack"] == "Stack:\n  here"


@pytest.mark.parametrize("text", ["a\nb", "\x1b[2J", "\u2028", "\ud800", '"}', "ü"])
def test_nothing_ends_a_line_or_steers_a_terminal(text: str) -> None:
    assert line("%s", text)["message"] == text


def test_a_line_of_the_access_log_has_its_fields() -> None:
    said = ('%s - "%s %s HTTP/%s" %d', "127.0.0.1:5", "GET", "/agents", "1.1", 200)
    told = line(*said, name="uvicorn.access")
    fields = ("client", "method", "path", "http_version", "status")
    assert tuple(told[field] for field in fields) == said[1:]
    assert told["message"] == '127.0.0.1:5 - "GET /agents HTTP/1.1" 200'
    assert "status" not in line(*said, name="licet")
    assert "status" not in line("just this", name="uvicorn.access")
    assert "status" not in line("%(a)s", name="uvicorn.access", args={"a": 1})
