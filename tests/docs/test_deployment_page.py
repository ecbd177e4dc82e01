"""The page for operators says what is so: the secrets, the times, the version of stored steps."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from licet.audit.config import KEY_VARIABLE as AUDIT_KEY
from licet.cli.signing import KEY_VARIABLE as SIGNING_KEY
from licet.models.openai.endpoint import KEY_VARIABLE as MODEL_KEY
from licet.os import Heartbeat, Settings
from licet.os.environment import KEY_VARIABLE as VERIFICATION_KEY
from licet.runs.dbos_engine import VERSION
from tests.deploy.parts import DEPLOY, STUCK_SECONDS, read_yaml
from tests.docs.snippets import steps

PAGE = Path(__file__).parents[2] / "docs" / "deployment.md"
TEXT = PAGE.read_text()


@pytest.mark.parametrize(
    "name", [VERIFICATION_KEY, AUDIT_KEY, MODEL_KEY, SIGNING_KEY, "DATABASE_URL"]
)
def test_each_variable_with_a_secret_has_a_row_with_that_of_its_file(name: str) -> None:
    assert re.search(rf"^\| `{name}` \| `{name}_FILE` \|", TEXT, re.MULTILINE)


@pytest.mark.parametrize(
    "stated",
    [
        f"`Settings(shutdown_grace_seconds=…)`, {Settings().shutdown_grace_seconds:g} seconds",
        f"`2 g + {STUCK_SECONDS:g}` seconds",
        f"up to {STUCK_SECONDS:g}",
        f"`dead_seconds` ({Heartbeat().dead_seconds:g})",
        f"{Settings().ping_seconds:g}\nseconds (`ping_seconds`)",
        f"{Settings().max_body_bytes // 2**20} MiB (`max_body_bytes`)",
        f"now `{VERSION}`",
    ],
)
def test_figures_are_stated_as_they_are(stated: str) -> None:
    assert stated in TEXT


def test_the_times_of_the_files_are_those_of_the_page() -> None:
    pod = read_yaml(DEPLOY / "kubernetes" / "deployment.yaml")["spec"]["template"]["spec"]
    seconds = pod["terminationGracePeriodSeconds"]
    period = read_yaml(DEPLOY / "compose" / "compose.yaml")["services"]["licet"][
        "stop_grace_period"
    ]
    assert f"{seconds} seconds in the Deployment, {period.removesuffix('s')} in compose" in TEXT


def test_a_program_takes_its_own_secrets_in_the_same_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (program,) = [step.text for step in steps(PAGE) if step.what == "secret.py"]
    (tmp_path / "secret.py").write_text(program)
    (tmp_path / "url").write_text("postgresql://\n")
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("DATABASE_URL_FILE", str(tmp_path / "url"))
    assert runpy.run_path(str(tmp_path / "secret.py"))["url"] == "postgresql://"
