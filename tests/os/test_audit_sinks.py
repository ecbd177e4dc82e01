"""Where decisions are kept, and with which key they are signed."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from licet.audit import AuditConfig, FileSink, LogSink
from licet.audit.recorder import Recorder
from licet.audit.signing import load_signer
from licet.audit.verifying import Report, verify
from licet.db.in_memory import InMemoryDb
from licet.errors import ConfigurationError
from licet.os.auditing import Auditing, build_auditing
from licet.testing import TokenFactory
from tests.support.audited import served
from tests.support.world import OWNER


def test_each_sink_gets_each_decision(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "licet.audit.events")
    file = tmp_path / "audit.jsonl"
    audit = AuditConfig(
        mode="blocking", sinks=[FileSink(file), LogSink()], anchors=(), timeout_seconds=20
    )
    with served(audit=audit) as at:
        at.ask("GET", "/reports/7")
        record = at.one()
    (line,) = file.read_text().splitlines()
    assert json.loads(line) == {name: getattr(record, name) for name in json.loads(line)}
    (said,) = [r.getMessage() for r in caplog.records if r.name == "licet.audit.events"]
    assert said == line


def test_without_a_database_the_other_sinks_are_all_there_is(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    audit = AuditConfig(mode="blocking", database=False, sinks=[FileSink(file)])
    with served(audit=audit) as at:
        at.ask("GET", "/reports/7")
        assert at.trail.news() == []
        assert asyncio.run(at.world.db.audit().last_writer()) is None
    assert len(file.read_text().splitlines()) == 1


def test_without_any_sink_audit_is_off_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with served(audit=AuditConfig(database=False)) as at:
        assert at.ask("GET", "/reports/7").status_code == 401
        minter = at.world.bearer(OWNER, "service_accounts:write")
        body = {"name": "robot", "scopes": ["agents:run"]}
        assert at.ask("POST", "/service-accounts", minter, json=body).status_code == 403
        assert at.trail.news() == []
    assert "AUDIT IS OFF: what is decided is not recorded" in caplog.messages


def test_a_sink_that_cannot_start_stops_the_start(tmp_path: Path) -> None:
    audit = AuditConfig(sinks=[FileSink(tmp_path / "nowhere" / "audit.jsonl")])
    with pytest.raises(RuntimeError, match="did not start"), served(audit=audit):
        pass


async def test_a_sink_that_does_not_close_keeps_no_other_open(
    caplog: pytest.LogCaptureFixture,
) -> None:
    closed = []

    class Sink(LogSink):
        async def close(self) -> None:
            closed.append(self)
            raise OSError("stuck")

    auditing = Auditing([Recorder(Sink()), Recorder(Sink())])
    await auditing.start()
    await auditing.close()
    assert len(closed) == 2
    assert [r.getMessage() for r in caplog.records] == ["an audit sink did not close"] * 2


# Which key


@pytest.mark.parametrize(
    ("key", "environ", "signed"),
    [
        (None, {}, False),
        (None, {"LICET_AUDIT_KEY": "   "}, False),
        (None, {"LICET_AUDIT_KEY": "s" * 32}, True),
        ("t" * 32, {}, True),
        ("t" * 32, {"LICET_AUDIT_KEY": "s" * 32}, True),
        (TokenFactory("EdDSA").private_key, {}, True),
    ],
    ids=["none", "empty", "environment", "setting", "both", "Ed25519"],
)
def test_the_chain_is_signed_with_the_key_that_is_set(
    key: str | None, environ: dict[str, str], *, signed: bool
) -> None:
    db = InMemoryDb()
    auditing = build_auditing(AuditConfig(key=key, anchors=()), db=db, os_id="os", environ=environ)

    async def writer() -> Any:
        await auditing.start()
        await auditing.close()
        return await db.audit().last_writer()

    found = asyncio.run(writer())
    assert (found.key_id is not None) is signed
    assert found.os_id == "os"
    if key is not None:
        report = asyncio.run(verify(db.audit(), verifiers=[load_signer(key)]))
        assert report.findings == []


def test_a_key_that_is_none_refuses_to_start() -> None:
    with pytest.raises(ConfigurationError, match="the audit key has 5 bytes"):
        build_auditing(
            AuditConfig(), db=InMemoryDb(), os_id="os", environ={"LICET_AUDIT_KEY": "short"}
        )


def test_the_key_may_be_in_a_file(tmp_path: Path) -> None:
    db, secret, file = InMemoryDb(), "s" * 32, tmp_path / "key"
    file.write_text(f"{secret}\n")
    auditing = build_auditing(
        AuditConfig(anchors=()), db=db, os_id="os", environ={"LICET_AUDIT_KEY_FILE": str(file)}
    )

    async def report() -> Report:
        await auditing.start()
        await auditing.close()
        return await verify(db.audit(), verifiers=[load_signer(secret)])

    found = asyncio.run(report())
    assert (found.findings, found.unsigned, found.unverified) == ([], 0, 0)


def test_a_key_whose_file_is_empty_refuses_to_start(tmp_path: Path) -> None:
    (tmp_path / "key").touch()
    environ = {"LICET_AUDIT_KEY_FILE": str(tmp_path / "key")}
    with pytest.raises(ConfigurationError, match=r"LICET_AUDIT_KEY_FILE: '.*/key' is empty"):
        build_auditing(AuditConfig(), db=InMemoryDb(), os_id="os", environ=environ)
