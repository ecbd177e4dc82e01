"""The page of traces and metrics names all that is told, and every setting."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from licet.json_log import JsonFormatter
from licet.os.log_config import LOG_FORMATS
from licet.telemetry import Telemetry
from licet.telemetry.meters import Meters
from licet.telemetry.names import RECORDED
from licet.telemetry.providers import Providers, resource
from licet.telemetry.requests import UNTRACED

PAGE = (Path(__file__).parents[2] / "docs" / "observability.md").read_text()
OLD_NAMES = {"db.system"}  # of an instrumentation that somebody else has set to the old ones


@pytest.mark.parametrize("name", sorted(RECORDED - OLD_NAMES))
def test_every_attribute_that_leaves_is_named(name: str) -> None:
    assert f"`{name}`" in PAGE


@pytest.mark.parametrize("setting", fields(Telemetry), ids=lambda setting: str(setting.name))
def test_every_setting_is_explained(setting: object) -> None:
    assert f"`{getattr(setting, 'name', '')}`" in PAGE


def test_every_metric_is_named_as_prometheus_has_it() -> None:
    providers = Providers(resource("shop", "1"))
    meters = Meters(providers.meters)
    meters.answered("GET", route="/", status=200, seconds=1)
    meters.decided("allow", action="")
    meters.run_ended("a", "COMPLETED", seconds=1)
    meters.tool_called("t", seconds=1, error_type=None)
    text = providers.prometheus.exposition().content.decode()
    told = set(re.findall(r"^# TYPE (\w+) ", text, re.MULTILINE)) - {"target_info"}
    assert len(told) == 5
    for name in told:
        assert f"(`{name}`)" in PAGE


def test_what_is_not_traced_is_said() -> None:
    assert all(path.startswith(("/health", "/telemetry/metrics")) for path in UNTRACED)
    assert "`/health…` and `/telemetry/metrics` are not traced" in PAGE


def test_the_log_is_as_it_is_said() -> None:
    assert LOG_FORMATS == ("text", "json")
    assert f"`{JsonFormatter.__module__}.{JsonFormatter.__name__}`" in PAGE
