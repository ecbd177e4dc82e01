from __future__ import annotations

import json
import logging

import msgspec
import pytest

from licet.audit.event import AuditEvent
from licet.audit.log_sink import LogSink
from licet.audit.sink import AuditSink
from tests.audit.events import event, events

LOGGER = "licet.audit.events"


async def test_each_event_is_a_line_of_json(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    sink, given = LogSink(), [*events(1, 2), event(3, reason="%s %d {}", subject="ö\n")]
    await sink.start()
    await sink.write(given)
    await sink.close()
    assert [record.name for record in caplog.records] == [LOGGER] * 3
    lines = [record.getMessage() for record in caplog.records]
    assert [msgspec.json.decode(line, type=AuditEvent) for line in lines] == given
    assert all("\n" not in line for line in lines)
    assert json.loads(lines[2])["reason"] == "%s %d {}"


@pytest.mark.parametrize("level", [logging.DEBUG, logging.WARNING])
async def test_the_level_can_be_chosen(caplog: pytest.LogCaptureFixture, level: int) -> None:
    caplog.set_level(logging.DEBUG, LOGGER)
    await LogSink(level=level).write([event()])
    assert [record.levelno for record in caplog.records] == [level]


def test_it_is_a_sink() -> None:
    assert isinstance(LogSink(), AuditSink)
