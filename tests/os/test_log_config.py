from __future__ import annotations

import logging
import logging.config
from typing import Any

import pytest

from licet.errors import ConfigurationError
from licet.os import Settings
from licet.os.log_config import LOG_FORMATS, LogFormat, log_config


def written_by(config: dict[str, Any], name: str) -> str:
    """What a handler of that configuration makes of a line."""
    configurator = logging.config.DictConfigurator(config)
    formatter = configurator.configure_formatter(configurator.config["formatters"][name])
    record = logging.makeLogRecord({"name": "licet", "msg": "said", "levelname": "INFO"})
    record.request_id = "r-1"
    return str(formatter.format(record))


@pytest.mark.parametrize(
    ("log_format", "expected"), [("text", "INFO:     [r-1] said"), ("json", '"message": "said"')]
)
def test_lines_are_for_people_or_for_programs(log_format: LogFormat, expected: str) -> None:
    assert expected in written_by(log_config(log_format), "default")


@pytest.mark.parametrize("log_format", LOG_FORMATS)
def test_every_formatter_of_uvicorns_is_set(log_format: LogFormat) -> None:
    config = log_config(log_format)
    assert set(config["formatters"]) == {"default", "access"}
    handlers = config["handlers"].values()
    assert {handler["formatter"] for handler in handlers} == {"default", "access"}


@pytest.mark.parametrize("log_format", LOG_FORMATS)
def test_a_program_that_logs_by_itself_keeps_its_ways(
    log_format: LogFormat, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = logging.getLogger("licet")
    monkeypatch.setattr(own, "hasHandlers", lambda: True)
    assert "licet" not in log_config(log_format)["loggers"]
    monkeypatch.setattr(own, "hasHandlers", lambda: False)
    assert log_config(log_format)["loggers"]["licet"]["level"] == "INFO"


def test_there_are_no_other_formats() -> None:
    with pytest.raises(ConfigurationError, match="log_format is 'xml'; it is one of text, json"):
        Settings(log_format="xml")  # type: ignore[arg-type]  # that is the mistake
