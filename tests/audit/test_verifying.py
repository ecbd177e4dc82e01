"""Whole trails: registrations, who is missing among them, and records of nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from licet.audit.chain import GENESIS, registration_hash, registration_message
from licet.audit.db_sink import DbSink
from licet.audit.verifying import verify
from licet.db.audit_codec import BATCH_COLUMNS, RECORD_COLUMNS, WRITER_COLUMNS
from licet.db.audit_records import AuditBatch, AuditRecord, AuditWriter
from licet.db.in_memory import InMemoryDb
from licet.db.sql_db import SqlDb
from tests.audit.trails import ED25519, HMAC, MALLORY, PUBLIC, SECRET, Trail, trail
from tests.contract.audit_rows import all_writers, batch, record
from tests.support.examples import examples

EITHER = pytest.mark.parametrize("signer", [ED25519, None], ids=["signed", "unsigned"])


async def set_writer(made: Trail, number: int, column: str, value: object) -> None:
    sql = f"UPDATE licet_audit_writers SET {column} = ? WHERE number = ?"  # noqa: S608 - constants
    await made.do(sql, value, number)


async def remove_writer(made: Trail, number: int) -> None:
    """With all that it wrote."""
    (found,) = [w for w in await all_writers(made.db) if w.number == number]
    for table, column in (
        ("licet_audit", "writer_id"),
        ("licet_audit_batches", "writer_id"),
        ("licet_audit_writers", "id"),
    ):
        await made.do(f"DELETE FROM {table} WHERE {column} = ?", found.id)  # noqa: S608 - constants


async def put_writer(made: Trail, row: AuditWriter) -> None:
    columns = ", ".join(WRITER_COLUMNS)
    marks = ", ".join("?" * len(WRITER_COLUMNS))
    values = [getattr(row, name) for name in WRITER_COLUMNS]
    await made.do(f"INSERT INTO licet_audit_writers ({columns}) VALUES ({marks})", *values)  # noqa: S608 - constants


async def renumber_writers(made: Trail, signer: Any = None) -> None:
    """Number the registrations from 1 without a gap, and compute their chain anew."""
    previous = GENESIS
    for number, old in enumerate(await all_writers(made.db), 1):
        row = replace(old, number=number)
        digest = registration_hash(previous, row)
        message = registration_message(row.id, number, digest)
        signature = row.signature if signer is None else signer.sign(message)
        await made.do("DELETE FROM licet_audit_writers WHERE id = ?", row.id)
        await put_writer(made, replace(row, hash=digest, signature=signature))
        previous = digest


async def test_no_trail_is_sound_and_nothing_was_looked_at(db: SqlDb) -> None:
    report = await verify(db.audit())
    assert (report.is_sound, report.writers, report.records, report.anchors) == (True, 0, 0, 0)


async def test_no_trail_where_something_was_anchored_is_none_that_was_kept(db: SqlDb) -> None:
    made = await trail(db)
    await made.do("DELETE FROM licet_audit")
    await made.do("DELETE FROM licet_audit_batches")
    await made.do("DELETE FROM licet_audit_writers")
    assert await made.found() == []
    assert await made.found(anchors=made.anchors) == [("missing_writer", 0, None, None)]


class TestARegistrationThatWasChanged:
    @pytest.mark.parametrize("number", [1, 2, 3])
    @pytest.mark.parametrize(
        ("column", "value", "codes"),
        [
            ("os_id", "of another", ["changed_writer"]),
            ("registered_at_us", 5, ["changed_writer"]),
            ("hash", "0" * 64, ["changed_writer", "bad_signature"]),
            ("signature", "x", ["bad_signature"]),
            ("signature", None, ["bad_signature"]),
            ("key_id", "of another", ["changed_writer", "unknown_key"]),
            ("key_id", None, ["changed_writer", "changed_writer", "unsigned_writer"]),
        ],
    )
    async def test_in_any_column_is_named(
        self, db: SqlDb, number: int, column: str, value: object, codes: list[str]
    ) -> None:
        made = await trail(db, writers=3)
        await set_writer(made, number, column, value)
        found = await made.found(anchors=made.anchors)
        batches = {"changed_batch"} if column == "key_id" and value is None else set()
        assert [code for code, *_ in found if code not in batches] == codes
        assert {place for _, place, *_ in found} == {number - 1}

    @pytest.mark.parametrize("column", ["os_id", "registered_at_us", "hash", "signature"])
    @pytest.mark.parametrize("number", [1, 2, 3])
    async def test_is_named_also_where_nothing_is_signed(
        self, db: SqlDb, number: int, column: str
    ) -> None:
        made = await trail(db, writers=3, signer=None)
        await set_writer(made, number, column, 5 if column.endswith("us") else "x")
        assert await made.found() == [("changed_writer", number - 1, None, None)]

    @EITHER
    async def test_in_its_number_leaves_a_gap(self, db: SqlDb, signer: Any) -> None:
        made = await trail(db, writers=3, signer=signer)
        await set_writer(made, 2, "number", 5)
        found = await made.found(anchors=made.anchors)
        missing = [("missing_writer", None, None, None)] * 2
        assert [each for each in found if each[1] is None] == missing
        assert ("changed_writer", 1, None, None) in found
        texts = [f.text for f in (await made.verified()).findings if f.code == "missing_writer"]
        assert [text.rpartition(": ")[2] for text in texts] == ["2", "4"]

    @EITHER
    async def test_in_its_id_leaves_records_of_nobody(self, db: SqlDb, signer: Any) -> None:
        made = await trail(db, writers=2, signer=signer)
        await set_writer(made, 1, "id", "another")
        found = await made.found()
        assert ("changed_writer", "another", None, None) in found
        assert ("inserted_records", 0, 1, 6) in found

    @pytest.mark.parametrize("number", [0, -1, -(2**62)])
    async def test_to_a_number_before_the_first_is_named(self, db: SqlDb, number: int) -> None:
        made = await trail(db, writers=2)
        await set_writer(made, 1, "number", number)
        found = await made.found()
        assert ("inserted_writer", 0, None, None) in found
        assert ("missing_writer", None, None, None) in found

    async def test_together_with_its_hash_is_named_by_the_one_that_follows(self, db: SqlDb) -> None:
        made = await trail(db, writers=3, signer=None)
        row = replace((await all_writers(db))[1], os_id="of another")
        await set_writer(made, 2, "os_id", row.os_id)
        await set_writer(made, 2, "hash", registration_hash((await all_writers(db))[0].hash, row))
        assert await made.found() == [("changed_writer", 2, None, None)]
        found = [("changed_writer", 1, None, None), ("changed_writer", 2, None, None)]
        assert await made.found(anchors=made.anchors_at(0)) == found


class TestAMissingWriter:
    @EITHER
    @pytest.mark.parametrize("number", [1, 2])
    async def test_in_the_middle_is_named_by_its_number(
        self, db: SqlDb, number: int, signer: Any
    ) -> None:
        made = await trail(db, writers=3, signer=signer)
        await remove_writer(made, number)
        report = await made.verified()
        (finding,) = report.findings
        assert (finding.code, finding.writer_id) == ("missing_writer", None)
        assert finding.text.endswith(f": {number}")

    @EITHER
    async def test_with_an_anchor_its_id_is_known_too(self, db: SqlDb, signer: Any) -> None:
        made = await trail(db, writers=3, signer=signer)
        await remove_writer(made, 2)
        report = await made.verified(anchors=made.anchors)
        (finding,) = report.findings
        assert (finding.code, finding.writer_id) == ("missing_writer", made.writers[1])
        assert finding.text == "the writer of number 2 is missing, with at least 6 records"

    async def test_the_last_one_is_missed_if_it_was_anchored(self, db: SqlDb) -> None:
        made = await trail(db, writers=3)
        await remove_writer(made, 3)
        assert await made.found() == []
        assert await made.found(anchors=made.anchors[:8]) == []
        for anchors in (made.anchors, made.anchors[8:9]):
            assert await made.found(anchors=anchors) == [("missing_writer", 2, None, None)]

    async def test_several_are_named_together(self, db: SqlDb) -> None:
        made = await trail(db, writers=7)
        for number in (2, 3, 5, 6, 7):
            await remove_writer(made, number)
        assert self.texts(await made.verified()) == ["2 to 3"]
        anchors = [a for a in made.anchors if a.writer_number in {3, 6}]
        report = await made.verified(anchors=anchors)
        assert [f.writer_id for f in report.findings[:2]] == [made.writers[2], made.writers[5]]
        assert self.texts(report) == ["2", "5"]

    def texts(self, report: Any) -> list[str]:
        return [f.text.rpartition(": ")[2] for f in report.findings if f.writer_id is None]

    async def test_whose_number_the_next_one_was_given_is_told_by_the_anchor(
        self, db: SqlDb
    ) -> None:
        """Who removes the last one before another registers leaves no gap."""
        made = await trail(db, writers=2)
        await remove_writer(made, 2)
        await made.write(2)
        assert await made.found() == []
        report = await made.verified(anchors=made.anchors)
        (finding,) = report.findings
        assert (finding.code, finding.writer_id) == ("missing_writer", made.writers[1])
        assert finding.text.endswith("at least 6 records; another one has its number")

    async def test_of_whom_the_rest_was_renumbered_lacks_the_signature(self, db: SqlDb) -> None:
        made = await trail(db, writers=3)
        await remove_writer(made, 2)
        await renumber_writers(made)
        assert await made.found() == [("bad_signature", 2, None, None)]

    async def test_and_with_the_key_is_told_by_any_anchor_of_either(self, db: SqlDb) -> None:
        made = await trail(db, writers=3)
        await remove_writer(made, 2)
        await renumber_writers(made, ED25519)
        assert await made.found() == []
        of_the_rest = [a for a in made.anchors if a.writer_number == 3 and a.seq == 6]
        assert await made.found(anchors=of_the_rest) == [("changed_writer", 2, None, None)]
        of_the_missing = [a for a in made.anchors if a.writer_number == 2 and a.seq == 2]
        assert await made.found(anchors=of_the_missing) == [("missing_writer", 1, None, None)]

    @EITHER
    async def test_whose_records_are_still_there_leaves_records_of_nobody(
        self, db: SqlDb, signer: Any
    ) -> None:
        made = await trail(db, writers=3, signer=signer)
        await made.do("DELETE FROM licet_audit_writers WHERE number = 2")
        found = [("missing_writer", None, None, None), ("inserted_records", 1, 1, 6)]
        assert await made.found() == found


class TestRecordsOfNobody:
    """They belong to no chain; a list or a search shows them like all others."""

    async def test_are_found_with_a_batch_and_without(self, db: SqlDb) -> None:
        made = await trail(db)
        of = [record(seq, writer_id="nobody") for seq in (3, 4, 5)]
        await db.audit().append(batch(of), of)
        found = [("inserted_records", "nobody", 3, 5)]
        assert await made.found(anchors=made.anchors) == found
        await made.do("DELETE FROM licet_audit_batches WHERE writer_id = 'nobody'")
        assert await made.found() == found

    async def test_of_several_writers_are_named_each(
        self, db: SqlDb, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("licet.audit.verifying.PAGE", 2)
        made = await trail(db)
        for name in ("a", "b", "c"):
            of = [record(seq, writer_id=name) for seq in (1, 2)]
            await db.audit().append(batch(of), of)
        found = await made.found()
        assert sorted(found) == [("inserted_records", name, 1, 2) for name in ("a", "b", "c")]

    async def test_whoever_registers_meanwhile_is_somebody(self) -> None:
        db = InMemoryDb()
        made = await trail(db)
        store = db.audit()

        class Store:
            def __getattr__(self, name: str) -> Any:
                return getattr(store, name)

            async def find(self, query: Any) -> Any:
                if len(made.writers) == 1:
                    await made.write(3)
                return await store.find(query)

        report = await verify(Store(), verifiers=[PUBLIC])
        assert (report.findings, report.writers) == ([], 1)


class TestAnAttackerWithoutTheKey:
    async def test_who_makes_all_unsigned_and_computes_it_anew_is_found(self, db: SqlDb) -> None:
        made = await trail(db, writers=2, signer=None)
        assert await made.found() == []
        assert await made.found(keys=[PUBLIC]) == [
            ("unsigned_writer", 0, None, None),
            ("unsigned_writer", 1, None, None),
        ]

    async def test_who_signs_with_a_key_of_their_own_is_found(self, db: SqlDb) -> None:
        made = await trail(db, writers=2, signer=MALLORY)
        assert await made.found(keys=[MALLORY]) == []
        assert await made.found(keys=[PUBLIC]) == [
            ("unknown_key", 0, None, None),
            ("unknown_key", 1, None, None),
        ]

    async def test_who_adds_a_writer_of_their_own_is_found(self, db: SqlDb) -> None:
        made = await trail(db)
        await made.write(2, signer=MALLORY)
        assert await made.found(keys=[PUBLIC]) == [("unknown_key", 1, None, None)]

    async def test_what_was_changed_before_a_server_signed_on_top_of_it_is_found(
        self, db: SqlDb
    ) -> None:
        """The next registration covers what it finds, and does not make it good."""
        made = await trail(db, writers=2)
        await set_writer(made, 2, "os_id", "of another")
        one, two = await all_writers(db)
        await set_writer(made, 2, "hash", registration_hash(one.hash, two))
        await made.write(2)
        assert await made.found() == [("bad_signature", 1, None, None)]

    async def test_whose_anchor_is_forged_hides_nothing(self, db: SqlDb) -> None:
        made = await trail(db)
        (anchor,) = made.anchors_at(6)
        forged = [
            replace(anchor, hash="f" * 64),
            replace(anchor, hash="f" * 64, key_id=None, signature=None),
            replace(anchor, hash="f" * 64, key_id="of another"),
            replace(anchor, seq=9),
            replace(anchor, writer_id="another"),
        ]
        for each in forged:
            found = await made.found(anchors=[*made.anchors, each])
            writer_id = 0 if each.writer_id == anchor.writer_id else "another"
            assert found == [("bad_anchor", writer_id, each.seq, each.seq)]
        await made.do("UPDATE licet_audit SET client = '10.0.0.1' WHERE seq = 6")
        found = await made.found(anchors=[*made.anchors, forged[1]])
        assert found == [("bad_anchor", 0, 6, 6), ("changed_record", 0, 6, 6)]


class TestKeys:
    async def test_without_a_key_a_signed_trail_is_only_consistent(self, db: SqlDb) -> None:
        made = await trail(db, writers=2)
        report = await made.verified(keys=[])
        assert (report.is_sound, report.unverified, report.unsigned) == (True, 2, 0)

    async def test_of_an_unsigned_trail_it_is_told(self, db: SqlDb) -> None:
        report = await (await trail(db, signer=None)).verified()
        assert (report.is_sound, report.unverified, report.unsigned) == (True, 0, 1)

    async def test_a_key_that_was_changed_needs_both(self, db: SqlDb) -> None:
        made = Trail(db)
        await made.write(2)
        await made.write(2, signer=HMAC)
        assert await made.found(keys=[PUBLIC, HMAC], anchors=made.anchors) == []
        assert await made.found(keys=[PUBLIC]) == [("unknown_key", 1, None, None)]
        assert await made.found(keys=[HMAC]) == [("unknown_key", 0, None, None)]

    async def test_another_secret_than_the_one_that_signed_is_told_of_each(self, db: SqlDb) -> None:
        from licet.audit.signing import load_verifier

        made = await trail(db, signer=HMAC)
        wrong = load_verifier(SECRET + " than before")
        found = [("bad_signature", 0, None, None), ("bad_signature", 0, 1, 6)]
        assert await made.found(keys=[wrong]) == found
        assert await made.found(keys=[wrong, HMAC]) == []

    async def test_the_time_before_there_was_a_key_can_be_named(self, db: SqlDb) -> None:
        made = await trail(db, signer=None)
        await made.write(2, signer=ED25519)
        assert await made.found(keys=[PUBLIC], anchors=made.anchors, unsigned_until=1) == []
        assert {code for code, *_ in await made.found(keys=[PUBLIC], anchors=made.anchors)} == {
            "unsigned_writer",
            "bad_anchor",
        }


class TestWhatIsOfNoTypeThatIsWritten:
    @pytest.fixture
    def kind(self) -> str:
        return "sqlite"

    @pytest.mark.parametrize("value", [b"\0", "é\U0001f600"])
    @pytest.mark.parametrize("column", ["os_id", "key_id", "hash", "signature", "registered_at_us"])
    @pytest.mark.parametrize("signer", [ED25519, HMAC, None])
    async def test_a_registration_whose_values_are_none(
        self, db: SqlDb, column: str, value: object, signer: Any
    ) -> None:
        made = await trail(db, writers=2, signer=signer)
        await set_writer(made, 1, column, value)
        found = await made.found(anchors=made.anchors)
        assert found
        assert {place for _, place, *_ in found} == {0}

    async def test_bytes_whose_base64_is_the_text_that_was_there(self, db: SqlDb) -> None:
        sink = DbSink(db.audit(), os_id="YWJj", signer=ED25519, anchors=())
        await sink.start()
        await sink.close()
        assert (await verify(db.audit(), verifiers=[PUBLIC])).is_sound
        await Trail(db).do("UPDATE licet_audit_writers SET os_id = ?", b"abc")
        report = await verify(db.audit(), verifiers=[PUBLIC])
        assert [finding.code for finding in report.findings] == ["changed_writer"]

    @pytest.mark.parametrize("value", ["soon", b"\0", 1.5])
    async def test_a_registration_whose_number_is_none(self, db: SqlDb, value: object) -> None:
        made = await trail(db, writers=2)
        await set_writer(made, 1, "number", value)
        found = await made.found(anchors=made.anchors)
        assert ("inserted_writer", None, None, None) in found
        assert ("missing_writer", 0, None, None) in found

    async def test_a_registration_whose_id_is_none(self, db: SqlDb) -> None:
        made = await trail(db, writers=2)
        await set_writer(made, 1, "id", b"\0")
        found = await made.found()
        assert ("inserted_writer", None, None, None) in found
        assert ("inserted_records", 0, 1, 6) in found

    async def test_a_record_whose_writer_is_none(self, db: SqlDb) -> None:
        made = await trail(db)
        await made.do("UPDATE licet_audit SET writer_id = ? WHERE seq = 4", b"\0")
        found = await made.found()
        assert found[0] == ("missing_records", 0, 4, 4)
        assert found[1] == ("changed_record", None, None, None)


CHANGES: dict[str, Callable[[Any], Any]] = {
    "number": lambda n: n + 1,
    "text": lambda t: ("0" if t[:1] != "0" else "1") + t[1:],
}


@settings(max_examples=examples(1.5))
@given(st.data())
def test_whatever_is_changed_removed_or_added_is_found(data: st.DataObject) -> None:
    """All of a signed trail that was anchored at its end, except what is not covered: nothing."""
    asyncio.run(_tampered(data))


async def _tampered(data: st.DataObject) -> None:
    db = InMemoryDb()
    made = Trail(db)
    sizes = st.lists(st.integers(1, 3), max_size=3)
    for batches in data.draw(st.lists(sizes, min_size=1, max_size=3)):
        await made.write(*batches)
    audit: Any = db._audit
    tables: dict[str, Any] = {
        "writers": audit._writers,
        "batches": audit._batches,
        "records": audit._records,
    }
    table = tables[data.draw(st.sampled_from([name for name, rows in tables.items() if rows]))]
    assert (await made.verified(anchors=made.anchors)).is_sound
    key = data.draw(st.sampled_from(sorted(table)))
    if data.draw(st.booleans()):
        del table[key]
    else:
        _change(table, key, data)
    report = await made.verified(anchors=made.anchors)
    assert not report.is_sound


def _change(table: Any, key: Any, data: st.DataObject) -> None:
    row = table.pop(key)
    columns = {
        "AuditWriter": WRITER_COLUMNS,
        "AuditBatch": BATCH_COLUMNS,
        "AuditRecord": RECORD_COLUMNS,
    }[type(row).__name__]
    column = data.draw(st.sampled_from(columns))
    value = getattr(row, column)
    changed = 1 if value is None else CHANGES["number" if isinstance(value, int) else "text"](value)
    make = msgspec.structs.replace if isinstance(row, msgspec.Struct) else replace
    row = make(row, **{column: changed})
    # Where a database would have it.
    table[row.number if isinstance(row, AuditWriter) else (row.writer_id, _second(row))] = row


def _second(row: AuditBatch | AuditRecord) -> int:
    return row.number if isinstance(row, AuditBatch) else row.seq


async def test_anchors_may_come_one_by_one() -> None:
    made = await trail(InMemoryDb())
    report = await verify(made.db.audit(), anchors=(anchor for anchor in made.anchors))
    assert (report.anchors, report.findings) == (4, [])
