"""The pages on audit, authorizers and threats name what is there, by its name and as it is."""

from __future__ import annotations

import re
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import asdict

import licet
from licet.audit import AuditConfig, FileSink
from licet.audit.config import AuditMode
from licet.audit.db_sink import DbSink
from licet.audit.event import AuditEvent, EventKind
from licet.audit.findings import Finding
from licet.audit.policy import Keep
from licet.audit.signing import load_signer
from licet.authz.authorizer import AccessRequest
from licet.cli.keys import key_pair
from licet.db.audit_records import AuditRecord
from licet.db.sqlite import SqliteDb
from licet.os.routes.audit import Decisions, audit_view
from tests.docs.snippets import steps

ROOT = Path(__file__).parents[2]
AUDIT = (ROOT / "docs" / "audit.md").read_text()
AUTHORIZERS = (ROOT / "docs" / "authorizers.md").read_text()
THREATS = (ROOT / "docs" / "threat-model.md").read_text()

EVENT = AuditEvent(
    time_us=1_795_857_312_896_113,
    request_id="6e31e0de842a2c1c0b01ef2e1e4752bd",
    kind="request",
    decision="allow",
    status=None,
    reason="the caller holds agents:run",
    rule="scope:agents:run",
    issuer_alias="default",
    subject="6f9619ff-8b86-d011-b42d-00cf4fc964ff",
    credential="jwt",
    token_id="f8746e38-90d7-4678-9d74-da12c6eff72c",
    action="agents:run",
    resource="agents",
    resource_id="support",
    method="POST",
    route="/agents/{agent_id}/runs",
    client="203.0.113.17",
    latency_us=400,
)


def section(page: str, heading: str) -> str:
    """The text below a heading, up to the next of its kind."""
    (found,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", page, re.DOTALL | re.MULTILINE)
    return str(found)


def named(text: str, column: int) -> list[str]:
    """The names in a column of the tables of a text: what stands in backticks."""
    cells = [line.split(" | ")[column] for line in text.splitlines() if line.startswith("| `")]
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


@pytest.mark.parametrize("setting", fields(AuditConfig), ids=lambda setting: str(setting.name))
def test_every_setting_of_audit_is_there_with_its_default(setting: Any) -> None:
    (stated,) = re.findall(rf"^\| `{setting.name}` \| (.+?) \|", AUDIT, re.MULTILINE)
    default = setting.default
    assert default is not MISSING
    said = {"none": (), "`LICET_AUDIT_KEY`": None, "`True`": True}
    if setting.name == "anchors":
        assert [type(sink).__name__ for sink in default] == ["AnchorLog"]
        assert stated == "`[AnchorLog()]`"
    elif stated in said:
        assert said[stated] == default
    elif isinstance(default, int | float):
        assert float(stated) == default
    else:
        assert stated == f"`{default}`"


def test_the_choices_of_audit_are_there() -> None:
    settings = section(AUDIT, "Settings")
    for choice in (*Keep, *AuditMode):
        assert f"`{choice}`" in settings
    recorded = section(AUDIT, "What is recorded")
    for kind in EventKind:
        assert f"`{kind}`" in recorded


def test_every_field_of_a_record_is_explained() -> None:
    record = AuditRecord(writer_id="w", seq=1, hash="0" * 64, **asdict(EVENT))
    fields_named = named(section(AUDIT, "What is recorded"), 0)
    assert sorted(fields_named) == sorted(audit_view(record))


def test_every_parameter_of_the_list_is_explained() -> None:
    parameters = named(section(AUDIT, "Looking things up"), 0)
    assert sorted(parameters) == sorted(Decisions.model_fields)


def test_every_code_of_a_finding_is_explained() -> None:
    codes = named(section(AUDIT, "Verifying"), 0)
    known = (Finding.__doc__ or "").partition("code:")[2].partition("text:")[0]
    assert sorted(codes) == sorted(re.findall(r"``([a-z_]+)``", known))


async def test_a_record_takes_the_space_that_is_stated(tmp_path: Path) -> None:
    db = SqliteDb(tmp_path / "audit.db")
    signer = load_signer(key_pair("EdDSA")[0])
    sinks = DbSink(db.audit(), os_id="os", signer=signer, anchors=()), FileSink(tmp_path / "lines")
    count, batch = 4000, 100
    for sink in sinks:
        await sink.start()
        for _ in range(count // batch):
            await sink.write([EVENT] * batch)
        await sink.close()
    await db.close()
    for file, pattern in (("audit.db", r"about (\d+) bytes in SQLite"), ("lines", r"JSON\s+(\d+)")):
        (stated,) = re.findall(pattern, section(AUDIT, "How much space it takes"))
        size_bytes = (tmp_path / file).stat().st_size / count
        assert size_bytes == pytest.approx(float(stated), rel=0.2)


@pytest.mark.parametrize("name", AccessRequest.__struct_fields__)
def test_everything_that_an_authorizer_is_told_is_explained(name: str) -> None:
    assert f"| `{name}` |" in section(AUTHORIZERS, "What it is told")


def test_the_policies_that_are_shown_are_those_of_the_example() -> None:
    policies = (ROOT / "examples" / "cedar" / "agents.cedar").read_text()
    shown = [s.text for s in steps(ROOT / "docs" / "authorizers.md") if "@id(" in s.text]
    assert shown
    assert all(text in policies for text in shown)


def test_modules_and_folders_that_are_named_exist() -> None:
    modules = set(re.findall(r"`([a-z_]+/[a-z_/]+\.py)`", THREATS))
    assert len(modules) > 15
    package = Path(licet.__file__).parent
    assert [name for name in sorted(modules) if not (package / name).exists()] == []
