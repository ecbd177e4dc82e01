from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from licet.audit import db_sink
from licet.audit.anchors import Anchor
from licet.audit.db_sink import DbSink
from licet.audit.recorder import Recorder
from licet.audit.sink import AuditSink
from licet.audit.verifying import verify
from licet.db.audit_base import AuditStore
from licet.db.audit_records import AuditBatch, AuditRecord, AuditWriter
from licet.db.in_memory import InMemoryDb
from licet.db.sql_db import SqlDb
from licet.db.sqlite import SqliteDb
from licet.errors import ConflictError, StorageError
from tests.audit.conftest import MakeDb
from tests.audit.events import KeptAnchors, event, events, until, until_told
from tests.audit.trails import ED25519, HMAC, PUBLIC, Trail
from tests.contract.audit_rows import all_batches, all_records, all_writers, record

FOR_EVER = 600.0


def sink(store: AuditStore, **given: Any) -> DbSink:
    return DbSink(store, **{"os_id": "os", "signer": None, "anchors": (), **given})


async def test_a_start_registers_a_writer_and_says_of_which_server(db: SqlDb) -> None:
    made = sink(db.audit(), now_us=lambda: 77)
    await made.start()
    (writer,) = await all_writers(db)
    assert (writer.number, writer.os_id, writer.registered_at_us) == (1, "os", 77)
    assert (writer.key_id, writer.signature) == (None, None)
    await made.close()


async def test_each_start_registers_a_writer_of_its_own(db: SqlDb) -> None:
    made = sink(db.audit())
    for turn in range(1, 4):
        await made.start()
        await made.write(events(1, turn))
        await made.close()
    writers = await all_writers(db)
    assert [writer.number for writer in writers] == [1, 2, 3]
    assert [len(await all_records(db, writer.id)) for writer in writers] == [1, 2, 3]
    assert (await verify(db.audit())).is_sound


async def test_what_was_written_is_there_with_its_batch(db: SqlDb) -> None:
    made = sink(db.audit(), now_us=lambda: 77)
    await made.start()
    await made.write(events(1, 2))
    await made.write([event(3, subject=None, status=403, reason="ö😀")])
    (writer,) = await all_writers(db)
    found = await all_records(db, writer.id)
    assert [r.seq for r in found] == [1, 2, 3]
    assert [r.request_id for r in found] == ["request-1", "request-2", "request-3"]
    assert (found[2].subject, found[2].status, found[2].reason) == (None, 403, "ö😀")
    batches = await all_batches(db, writer.id)
    assert [(b.number, b.first_seq, b.last_seq, b.created_at_us) for b in batches] == [
        (1, 1, 2, 77),
        (2, 3, 3, 77),
    ]
    await made.close()


@pytest.mark.parametrize("signer", [ED25519, HMAC], ids=["Ed25519", "HMAC"])
async def test_with_a_key_all_heads_are_signed(db: SqlDb, signer: Any) -> None:
    kept = KeptAnchors()
    made = sink(db.audit(), signer=signer, anchors=[kept])
    await made.start()
    await made.write(events(1, 2))
    await made.close()
    (writer,) = await all_writers(db)
    (batch,) = await all_batches(db, writer.id)
    assert writer.key_id == signer.key_id
    assert None not in {writer.signature, batch.signature}
    assert [anchor.key_id for anchor in kept.anchors] == [signer.key_id] * 2
    report = await verify(db.audit(), verifiers=[signer], anchors=kept.anchors)
    assert (report.findings, report.unverified, report.unsigned) == ([], 0, 0)


async def test_the_public_key_is_enough_to_verify(db: SqlDb) -> None:
    made = sink(db.audit(), signer=ED25519)
    await made.start()
    await made.write(events(1, 2))
    assert (await verify(db.audit(), verifiers=[PUBLIC])).is_sound
    await made.close()


class TestRegistering:
    async def test_sinks_that_start_at_once_all_get_numbers(self, new_db: MakeDb) -> None:
        one, other = new_db(), new_db()
        sinks = [sink(db.audit(), signer=ED25519) for db in (one, other) * 8]
        await asyncio.gather(*(each.start() for each in sinks))
        await asyncio.gather(*(each.write(events(1, 3)) for each in sinks))
        await asyncio.gather(*(each.close() for each in sinks))
        writers = await all_writers(one)
        assert [writer.number for writer in writers] == list(range(1, 17))
        report = await verify(other.audit(), verifiers=[PUBLIC])
        assert (report.findings, report.records) == ([], 48)
        await asyncio.gather(one.close(), other.close())

    async def test_a_number_that_is_always_taken_is_told(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = InMemoryDb().audit()

        async def taken(_: AuditWriter) -> bool:
            return False

        monkeypatch.setattr(store, "register_writer", taken)
        monkeypatch.setattr(db_sink, "_ATTEMPTS", 3)
        with pytest.raises(StorageError, match="no number could be got"):
            await sink(store).start()

    async def test_a_registration_whose_answer_got_lost_is_followed_by_another(self) -> None:
        db = InMemoryDb()
        store = Wrapped(db.audit())
        store.lost_registrations = 1
        made = sink(store, signer=ED25519)
        with pytest.raises(StorageError):
            await made.start()
        await made.write(events(1, 2))
        assert [writer.number for writer in await all_writers(db)] == [1, 2]
        assert (await verify(db.audit(), verifiers=[PUBLIC])).is_sound
        await made.close()


class Wrapped:
    """A store whose answers get lost, or that is away, or slow."""

    def __init__(self, store: AuditStore) -> None:
        self._store = store
        self.lost_registrations = 0
        self.lost_appends = 0
        self.away = 0
        self.appended: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def register_writer(self, writer: AuditWriter) -> bool:
        taken = await self._store.register_writer(writer)
        if self.lost_registrations:
            self.lost_registrations -= 1
            raise StorageError("it is not known whether this is stored")
        return taken

    async def append(self, batch: AuditBatch, records: Sequence[AuditRecord]) -> None:
        self.appended.append(batch.number)
        if self.away:
            self.away -= 1
            raise StorageError("not stored")
        await self._store.append(batch, records)
        if self.lost_appends:
            self.lost_appends -= 1
            raise StorageError("it is not known whether this is stored")


class TestWritingAgain:
    @pytest.mark.parametrize("what", ["away", "lost_appends"])
    async def test_a_batch_that_is_given_again_is_there_once(self, db: SqlDb, what: str) -> None:
        store = Wrapped(db.audit())
        made = sink(store, signer=ED25519)
        await made.start()
        await made.write(events(1, 2))
        setattr(store, what, 3)
        for _ in range(3):
            with pytest.raises(StorageError):
                await made.write(events(3, 5))
        await made.write(events(3, 5))
        await made.write(events(6, 6))
        assert store.appended == [1, 2, 2, 2, 2, 3]
        (writer,) = await all_writers(db)
        found = await all_records(db, writer.id)
        assert [r.request_id for r in found] == [f"request-{n}" for n in range(1, 7)]
        assert (await verify(db.audit(), verifiers=[PUBLIC])).is_sound
        await made.close()

    async def test_through_a_recorder_nothing_is_lost_and_nothing_is_there_twice(
        self, db: SqlDb, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("licet.audit.recorder._FIRST_PAUSE_SECONDS", 0.001)
        store = Wrapped(db.audit())
        recorder = Recorder(sink(store, signer=ED25519), batch_seconds=0.001)
        await recorder.start()
        for number in range(1, 101):
            store.lost_appends += number % 7 == 0
            store.away += number % 11 == 0
            await recorder.record(event(number))
            if number % 5 == 0:
                await until(lambda: recorder.waiting < 5, what="some were kept")
        await recorder.close()
        (writer,) = await all_writers(db)
        found = [r.request_id for r in await all_records(db, writer.id)]
        assert found == [f"request-{n}" for n in range(1, 101)]
        assert (await verify(db.audit(), verifiers=[PUBLIC])).is_sound

    async def test_a_writer_in_whose_way_somebody_put_rows_goes_on_under_another_id(
        self, db: SqlDb, caplog: pytest.LogCaptureFixture
    ) -> None:
        trail, kept = Trail(db), KeptAnchors()
        made = sink(db.audit(), signer=ED25519, anchors=[kept])
        await made.start()
        await made.write(events(1, 2))
        (writer,) = await all_writers(db)
        forged = record(3, writer_id=writer.id)
        columns = ", ".join(forged.__struct_fields__)
        marks = ", ".join("?" * len(forged.__struct_fields__))
        values = [getattr(forged, name) for name in forged.__struct_fields__]
        await trail.do(f"INSERT INTO licet_audit ({columns}) VALUES ({marks})", *values)  # noqa: S608 - constants
        with pytest.raises(ConflictError):
            await made.write(events(3, 4))
        await made.write(events(3, 4))
        await made.write(events(5, 5))
        await made.close()
        _, second = await all_writers(db)
        found = [r.request_id for r in await all_records(db, second.id)]
        assert found == ["request-3", "request-4", "request-5"]
        assert [(a.writer_id, a.seq) for a in kept.anchors] == [
            (writer.id, 0),
            (writer.id, 2),
            (second.id, 0),
            (second.id, 3),
        ]
        assert "go on under a new writer" in caplog.text
        (finding,) = (await verify(db.audit(), verifiers=[PUBLIC], anchors=kept.anchors)).findings
        assert (finding.code, finding.writer_id) == ("inserted_records", writer.id)
        assert (finding.first_seq, finding.last_seq) == (3, 3)


class TestAnchoring:
    async def test_the_registration_the_end_and_in_between_what_is_new(self) -> None:
        kept, store = KeptAnchors(), InMemoryDb().audit()
        made = sink(store, signer=ED25519, anchors=[kept], anchor_seconds=0.005)
        await made.start()
        assert kept.seqs == [0]
        await made.write(events(1, 2))
        await until(lambda: kept.seqs == [0, 2], what="the new head was anchored")
        made._anchor_seconds = FOR_EVER
        await made.write(events(3, 3))
        await made.close()
        assert kept.seqs[-1] == 3
        assert len(kept.seqs) <= 4
        report = await verify(store, verifiers=[PUBLIC], anchors=kept.anchors)
        assert (report.findings, report.anchors) == ([], len(kept.seqs))

    async def test_what_is_anchored_is_not_anchored_again(self) -> None:
        kept = KeptAnchors()
        made = sink(InMemoryDb().audit(), anchors=[kept], anchor_seconds=0.001)
        await made.start()
        await made.write(events(1, 1))
        await until(lambda: 1 in kept.seqs, what="the head was anchored")
        turns = 0

        async def count() -> bool:
            nonlocal turns
            turns += 1
            await asyncio.sleep(0.001)
            return turns > 20

        await until_told(count, what="some time has passed")
        await made.close()
        assert kept.seqs == [0, 1]

    async def test_an_anchor_says_which_record_and_when(self, db: SqlDb) -> None:
        kept = KeptAnchors()
        made = sink(db.audit(), anchors=[kept], now_us=lambda: 99)
        await made.start()
        await made.write(events(1, 2))
        await made.close()
        (writer,) = await all_writers(db)
        last = (await all_records(db, writer.id))[-1]
        assert kept.anchors == [
            Anchor(writer_id=writer.id, writer_number=1, seq=seq, hash=head, time_us=99)
            for seq, head in ((0, writer.hash), (2, last.hash))
        ]

    async def test_a_place_that_is_away_hears_later_and_the_others_hear_at_once(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        away, there = KeptAnchors(), KeptAnchors()
        away.fails = True
        made = sink(InMemoryDb().audit(), anchors=[away, there], anchor_seconds=0.002)
        await made.start()
        await made.write(events(1, 2))
        await until(lambda: there.seqs == [0, 2], what="the other place was told")
        assert "an anchor of the audit trail was not kept" in caplog.text
        away.fails = False
        await until(lambda: away.seqs == [2], what="the place was told")
        await made.close()
        assert there.seqs == [0, 2]

    async def test_a_writer_that_nobody_started_anchors_too(self) -> None:
        kept = KeptAnchors()
        made = sink(InMemoryDb().audit(), anchors=[kept], anchor_seconds=0.002)
        await made.write(events(1, 2))
        await until(lambda: kept.seqs == [0, 2], what="the head was anchored")
        await made.close()

    def test_one_event_loop_after_another_can_be_used(self) -> None:
        kept, db = KeptAnchors(), InMemoryDb()
        made = sink(db.audit(), anchors=[kept], anchor_seconds=0.002)

        async def write(number: int) -> None:
            await made.write([event(number)])
            await until(lambda: kept.seqs[-1] == number, what="the head was anchored")

        for number in range(1, 4):
            asyncio.run(write(number))
        asyncio.run(made.close())
        assert kept.seqs == [0, 1, 2, 3]
        assert [writer.number for writer in asyncio.run(all_writers(db))] == [1]

    async def test_closing_what_was_not_started_anchors_nothing(self) -> None:
        kept = KeptAnchors()
        await sink(InMemoryDb().audit(), anchors=[kept]).close()
        assert kept.anchors == []

    async def test_by_default_the_log_is_told(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, "licet")
        made = DbSink(InMemoryDb().audit(), os_id="os", signer=ED25519)
        await made.start()
        await made.close()
        assert [r.name for r in caplog.records] == ["licet.audit.anchors"]


@pytest.mark.parametrize("signer", [ED25519, HMAC, None])
async def test_a_trail_that_nobody_signs_is_warned_of_at_the_start(
    caplog: pytest.LogCaptureFixture, signer: Any
) -> None:
    made = sink(InMemoryDb().audit(), signer=signer)
    await made.start()
    await made.close()
    warned = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warned) == (signer is None)
    assert all("Set LICET_AUDIT_KEY" in text for text in warned)


async def test_neither_the_key_nor_a_part_of_it_is_in_the_database(tmp_path: Path) -> None:
    db = SqliteDb(tmp_path / "licet.db")
    made = sink(db.audit(), signer=HMAC)
    await made.start()
    await made.write(events(1, 2))
    await made.close()
    await db.close()
    content = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"request-2" in content
    assert b"correct horse" not in content


def test_it_is_a_sink() -> None:
    made: Callable[[], AuditSink] = lambda: sink(InMemoryDb().audit())  # noqa: E731 - typed
    assert isinstance(made(), AuditSink)
