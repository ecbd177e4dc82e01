"""The guide knows every setting of authorization, and states the times as they are."""

from __future__ import annotations

import re
import runpy
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from licet.db.in_memory import InMemoryDb
from licet.os import (
    AgentOS,
    AuthorizationConfig,
    Heartbeat,
    KeyFetching,
    RunQueue,
    Settings,
    TrustedIssuer,
)
from licet.os.environment import KEY_VARIABLE, VARIABLES
from licet.os.service_accounts import DEFAULT_SCOPES
from licet.runs.log import MAX_BYTES, MAX_FRAMES
from licet.runs.logs import MAX_ENDED, MAX_ENDED_BYTES
from tests.docs.snippets import steps

DOCS = Path(__file__).parents[2] / "docs"
GUIDE = (DOCS / "authorization.md").read_text()
NAMES = {
    *(f.name for kind in (AuthorizationConfig, TrustedIssuer) for f in fields(kind) if f.init),
    *(KEY_VARIABLE, *VARIABLES.values()),
}


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_setting_is_explained(name: str) -> None:
    documents = [path.read_text() for path in sorted(DOCS.glob("*.md"))]
    assert any(re.search(rf"\b{name}\b", text) for text in documents)


@pytest.mark.parametrize("setting", fields(KeyFetching), ids=lambda setting: str(setting.name))
def test_times_of_keys_are_stated_as_they_are(setting: object) -> None:
    name = getattr(setting, "name", "")
    (row,) = re.findall(rf"^\| `{name}` \| (\d+) \|", GUIDE, re.MULTILINE)
    assert float(row) == getattr(KeyFetching(), name)


@pytest.mark.parametrize("kind", [RunQueue, Heartbeat], ids=lambda kind: kind.__name__)
def test_limits_of_durable_runs_are_stated_as_they_are(kind: type[RunQueue | Heartbeat]) -> None:
    guide = (DOCS / "durability.md").read_text()
    for setting in fields(kind):
        (stated,) = re.findall(rf"^\| `{setting.name}` \| (\w+) \|", guide, re.MULTILINE)
        default = setting.default
        assert stated == ("None" if default is None else f"{default:.0f}")


@pytest.mark.parametrize(
    ("document", "stated"),
    [
        ("authorization.md", f"`Settings(cached_tokens={Settings().cached_tokens})`"),
        ("authorization.md", f"`Settings(max_header_bytes={Settings().max_header_bytes})`"),
        ("durability.md", f"`shutdown_grace_seconds` ({Settings().shutdown_grace_seconds:g})"),
        ("durability.md", f"`events_kept_seconds` ({Settings().events_kept_seconds:g})"),
        ("durability.md", f"`authority_ttl` ({AuthorizationConfig().authority_ttl.days} days)"),
        ("approvals.md", f"`authority_ttl` ({AuthorizationConfig().authority_ttl.days} days)"),
        ("schedules.md", f"`Settings(max_schedules={Settings().max_schedules})`"),
        ("schedules.md", f"`authority_ttl` ({AuthorizationConfig().authority_ttl.days} days)"),
        ("authorization.md", ", ".join(f"`{scope}`" for scope in DEFAULT_SCOPES)),
        ("streams.md", f"(`: ping`) comes every {Settings().ping_seconds:g} seconds"),
        ("streams.md", f"({Settings().events_kept_seconds:g}) after its end"),
        ("streams.md", f"the last {MAX_FRAMES:,} events or {MAX_BYTES // 2**20} MiB of a run"),
        ("streams.md", f"the last {MAX_ENDED:,} or {MAX_ENDED_BYTES // 2**20} MiB"),
        (
            "revocation.md",
            f"`revocations_max_age_seconds` ({Settings().revocations_max_age_seconds:g})",
        ),
    ],
)
def test_defaults_are_stated_as_they_are(document: str, stated: str) -> None:
    assert stated in (DOCS / document).read_text()


def run(document: str, file: str) -> dict[str, Any]:
    """Write a program of a document to the working folder, and run it."""
    blocks = [step for step in steps(DOCS / document) if step.kind == "file"]
    (text,) = [step.text for step in blocks if step.what == file]
    Path(file).write_text(text)
    return runpy.run_path(file)


def test_secrets_in_a_key_set_have_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run("key-rotation.md", "new_secrets.py")
    Path("secrets.json").write_text(capsys.readouterr().out)
    config = run("key-rotation.md", "hs256.py")["config"]
    agent_os = AgentOS(db=InMemoryDb(), authorization=True, authorization_config=config)
    assert agent_os.trust is not None
    ((_, source),) = agent_os.trust.issuers
    keys = source.current().keys
    assert [(key.key_id, sorted(key.algorithms)) for key in keys] == [
        ("spring", ["HS256"]),
        ("summer", ["HS256"]),
    ]


def test_times_of_keys_can_be_shortened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = run("key-rotation.md", "fetching.py")["config"]
    AgentOS(db=InMemoryDb(), authorization=True, authorization_config=config)
    assert config.key_fetching.max_fresh_seconds < KeyFetching().max_fresh_seconds
    assert config.key_fetching.max_stale_seconds < KeyFetching().max_stale_seconds


def test_proxies_can_be_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("authorization.md", "behind.py")["settings"].trusted_proxies
