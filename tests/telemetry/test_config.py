from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from licet.db.in_memory import InMemoryDb
from licet.errors import ConfigurationError
from licet.os import AgentOS
from licet.os.observer import UNOBSERVED_SERVER, Observer
from licet.telemetry import Telemetry, config

WITHOUT = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter", "prometheus_client")):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())

import licet.cli.app
from licet.db.in_memory import InMemoryDb
from licet.errors import ConfigurationError
from licet.os import AgentOS
from licet.telemetry import Telemetry

AgentOS(db=InMemoryDb()).get_app()
try:
    AgentOS(db=InMemoryDb(), telemetry=Telemetry())
except ConfigurationError as error:
    print(error)
"""


def test_without_the_extra_all_else_works_and_the_error_says_what_to_install(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout == "telemetry needs OpenTelemetry: pip install 'licet[telemetry]'\n"


@pytest.mark.parametrize("missing", config._NEEDED)
def test_each_part_of_the_extra_is_asked_for(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "_NEEDED", (f"{missing}.nothing", "nothing.at.all"))
    with pytest.raises(ConfigurationError, match="pip install 'licet\\[telemetry\\]'"):
        AgentOS(db=InMemoryDb(), telemetry=Telemetry())


def test_a_server_without_telemetry_imports_nothing_of_it() -> None:
    program = (
        "import sys; from licet.os import AgentOS; from licet.db.in_memory import InMemoryDb; "
        "AgentOS(db=InMemoryDb()).get_app(); "
        "print([m for m in sys.modules if m.startswith(('opentelemetry.sdk', 'prometheus_client',"
        " 'opentelemetry.instrumentation', 'licet.telemetry'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_not_to_be_observed_makes_no_object() -> None:
    nobody: Observer = UNOBSERVED_SERVER
    decision = nobody.decision({})
    with decision as entered:
        assert entered is decision
    other: object = nobody.tool_call("look", call_id="1")
    assert other is decision
    assert (nobody.exposition(), nobody.trace_context()) == (None, None)


def test_a_protocol_that_is_not_spoken_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with pytest.raises(ConfigurationError, match="'grpc'"):
        AgentOS(db=InMemoryDb(), telemetry=Telemetry(endpoint="http://127.0.0.1:1"))
