from __future__ import annotations

from pathlib import Path

import pytest

from licet.audit import AnchorFile, AnchorLog, AuditConfig, FileSink, LogSink
from licet.db.in_memory import InMemoryDb
from licet.doctor.audit_trail import AuditCheck
from tests.doctor.deployments import AUDIT_KEY, codes, deployed, found


async def looked(audit: AuditConfig) -> list[str]:
    return await codes(AuditCheck(), deployed(db=InMemoryDb(), audit=audit))


@pytest.fixture(autouse=True)
def no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LICET_AUDIT_KEY", raising=False)


@pytest.mark.parametrize(
    ("audit", "expected"),
    [
        (AuditConfig(key=AUDIT_KEY), []),
        (AuditConfig(), ["audit_unsigned"]),
        (AuditConfig(database=False, sinks=[LogSink()]), []),
        (AuditConfig(database=False), ["audit_off"]),
    ],
    ids=["signed", "unsigned", "elsewhere", "nowhere"],
)
async def test_a_trail_is_kept_and_signed(audit: AuditConfig, expected: list[str]) -> None:
    assert await looked(audit) == expected


async def test_the_key_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LICET_AUDIT_KEY", AUDIT_KEY)
    assert await looked(AuditConfig()) == []


async def test_files_that_cannot_be_written_are_told_and_none_is_made(tmp_path: Path) -> None:
    missing, good = tmp_path / "missing", tmp_path / "audit.jsonl"
    audit = AuditConfig(
        key=AUDIT_KEY,
        sinks=[FileSink(good), FileSink(missing / "audit.jsonl")],
        anchors=[AnchorLog(), AnchorFile(missing / "anchors")],
    )
    findings = await found(AuditCheck(), deployed(db=InMemoryDb(), audit=audit))
    assert [(f.kind.code, f.where) for f in findings] == [
        ("audit_unwritable", f"file {str(missing / 'anchors')!r}"),
        ("audit_unwritable", f"file {str(missing / 'audit.jsonl')!r}"),
    ]
    assert list(tmp_path.iterdir()) == []


async def test_without_authorization_nothing_is_decided() -> None:
    nobody = deployed(db=InMemoryDb(), authorization=False, audit=AuditConfig(database=False))
    assert await codes(AuditCheck(), nobody) == []
