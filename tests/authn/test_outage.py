from __future__ import annotations

import logging

import pytest

from licet.authn.outage import Outage
from licet.errors import StorageError

logger = logging.getLogger("licet.trial")


def outage(**given: int) -> Outage:
    return Outage(logger, failing="it is broken", working="it works again", **given)


def test_each_outage_is_two_lines(caplog: pytest.LogCaptureFixture) -> None:
    seen = outage()
    for reason in ("gone", "away"):
        seen.worked()
        for _ in range(3):
            seen.failed(StorageError(reason))
        for _ in range(3):
            seen.worked()
    assert caplog.record_tuples == [
        ("licet.trial", logging.ERROR, "it is broken: gone"),
        ("licet.trial", logging.WARNING, "it works again"),
        ("licet.trial", logging.ERROR, "it is broken: away"),
        ("licet.trial", logging.WARNING, "it works again"),
    ]


def test_where_it_matters_less_it_is_said_in_a_lower_voice(
    caplog: pytest.LogCaptureFixture,
) -> None:
    outage(level=logging.WARNING).failed(StorageError("gone"))
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_only_what_nobody_has_foreseen_comes_with_its_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    outage().failed(StorageError("gone"))
    outage().failed(ZeroDivisionError("a bug"))
    assert [record.exc_info is not None for record in caplog.records] == [False, True]
    assert "ZeroDivisionError: a bug" in caplog.text
