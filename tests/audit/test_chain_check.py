"""One writer's chain, after somebody who can write the database was at it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from licet.audit import chain_check
from licet.audit.chain import GENESIS, batch_message, record_hash
from licet.audit.db_sink import DbSink
from licet.audit.verifying import verify
from licet.db.audit_base import AuditStore
from licet.db.audit_codec import BATCH_COLUMNS, RECORD_COLUMNS, RECORD_TYPES
from licet.db.audit_records import AuditBatch, AuditRecord
from licet.db.in_memory import InMemoryDb
from licet.db.sql_db import SqlDb
from licet.errors import StorageError
from tests.audit.events import KeptAnchors, event, events
from tests.audit.trails import BATCHES, ED25519, HMAC, MALLORY, Trail, trail
from tests.contract.audit_rows import all_batches, all_records, record

SEQS = range(1, sum(BATCHES) + 1)
SIGNED = pytest.mark.parametrize("signer", [ED25519, HMAC], ids=["Ed25519", "HMAC"])
EITHER = pytest.mark.parametrize("signer", [ED25519, None], ids=["signed", "unsigned"])


def other(value: str | int | None, column: str) -> str | int:
    """Another value: one byte of a text, one of a number."""
    if value is None:
        return 1 if RECORD_TYPES.get(column) == "BIGINT" else "x"
    if isinstance(value, int):
        return value + 1
    return ("0" if value[:1] != "0" else "1") + value[1:]


async def head(made: Trail, seq: int, writer: int = 0) -> str:
    found = await all_records(made.db, made.writers[writer])
    return GENESIS if seq == 0 else found[seq - 1].hash


async def rewrite(made: Trail, first: int, last: int, **changes: Any) -> str:
    """Change the records from the first on, and give all up to the last the hash they need."""
    previous = await head(made, first - 1)
    for each in (await all_records(made.db, made.writers[0]))[first - 1 : last]:
        changed = msgspec.structs.replace(each, **changes)
        previous = record_hash(previous, changed)
        await put(made, changed, previous)
    return previous


async def put(made: Trail, changed: AuditRecord, digest: str) -> None:
    columns = [c for c in RECORD_COLUMNS if c not in {"writer_id", "seq", "hash"}]
    sets = ", ".join(f"{column} = ?" for column in columns)
    await made.do(
        f"UPDATE licet_audit SET {sets}, hash = ? WHERE writer_id = ? AND seq = ?",  # noqa: S608 - constants
        *(getattr(changed, column) for column in columns),
        digest,
        changed.writer_id,
        changed.seq,
    )


async def insert(made: Trail, seq: int, previous: str | None = None, **values: Any) -> str:
    """Put a record there; with the hash that it needs after ``previous``, if that is given."""
    given = record(seq, **{"writer_id": made.writers[0], **values})
    if previous is not None:
        given = msgspec.structs.replace(given, hash=record_hash(previous, given))
    await made.do(
        f"INSERT INTO licet_audit ({', '.join(RECORD_COLUMNS)}) "  # noqa: S608 - constants
        f"VALUES ({', '.join('?' * len(RECORD_COLUMNS))})",
        *(getattr(given, column) for column in RECORD_COLUMNS),
    )
    return given.hash


async def remove(made: Trail, first: int, last: int, *, batches: Sequence[int] = ()) -> None:
    """Delete records, and batches."""
    for number in batches:
        await made.do("DELETE FROM licet_audit_batches WHERE number = ?", number)
    for seq in range(first, last + 1):
        await made.do("DELETE FROM licet_audit WHERE seq = ?", seq)


@EITHER
async def test_what_was_written_is_sound(db: SqlDb, signer: Any) -> None:
    made = await trail(db, writers=2, signer=signer)
    report = await made.verified(anchors=made.anchors)
    assert report.is_sound
    assert (report.writers, report.records, report.anchors) == (2, 12, 8)


@pytest.mark.parametrize("page", [1, 2, 3, 5])
async def test_it_is_read_page_by_page(monkeypatch: pytest.MonkeyPatch, page: int) -> None:
    monkeypatch.setattr(chain_check, "PAGE", page)
    monkeypatch.setattr("licet.audit.verifying.PAGE", page)
    made = await trail(InMemoryDb(), writers=3)
    report = await made.verified(anchors=made.anchors)
    assert (report.findings, report.records, report.writers) == ([], 18, 3)


class TestAChangedByte:
    @EITHER
    @pytest.mark.parametrize("column", [c for c in RECORD_COLUMNS if c not in {"writer_id", "seq"}])
    async def test_in_any_column_of_any_record_names_the_record(
        self, db: SqlDb, column: str, signer: Any
    ) -> None:
        made = await trail(db, signer=signer)
        for each in await all_records(db, made.writers[0]):
            value = getattr(each, column)
            change = f"UPDATE licet_audit SET {column} = ? WHERE seq = ?"  # noqa: S608 - constants
            await made.do(change, other(value, column), each.seq)
            expected = [("changed_record", 0, each.seq, each.seq)]
            assert await made.found(anchors=made.anchors) == expected
            await made.do(change, value, each.seq)
        assert await made.found(anchors=made.anchors) == []

    @pytest.mark.parametrize("column", ["status", "subject", "token_id", "client", "action"])
    async def test_a_value_that_is_taken_away_is_one_that_was_changed(
        self, db: SqlDb, column: str
    ) -> None:
        made = Trail(db)
        await made.write(3)
        before = await all_records(db, made.writers[0])
        value = None if column != "status" else 0
        await made.do(f"UPDATE licet_audit SET {column} = ? WHERE seq = 2", value)  # noqa: S608 - constants
        assert await all_records(db, made.writers[0]) != before
        assert await made.found() == [("changed_record", 0, 2, 2)]

    @pytest.mark.parametrize(
        ("column", "found"),
        [
            ("number", [("missing_batches", 0, 3, 5), ("bad_signature", 0, 3, 5)]),
            ("first_seq", [("bad_signature", 0, 4, 5)]),
            ("last_seq", [("bad_signature", 0, 3, 6)]),
            ("hash", [("bad_signature", 0, 3, 5)]),
            ("created_at_us", [("bad_signature", 0, 3, 5)]),
            ("signature", [("bad_signature", 0, 3, 5)]),
            ("writer_id", [("missing_batches", 0, 3, 5)]),
        ],
    )
    @SIGNED
    async def test_in_any_column_of_a_signed_batch_names_the_batch(
        self, db: SqlDb, column: str, found: list[Any], signer: Any
    ) -> None:
        made = await trail(db, signer=signer)
        await self.change_batch(made, column)
        assert await made.found(anchors=made.anchors) == found

    @pytest.mark.parametrize(
        ("column", "found"),
        [
            ("number", [("missing_batches", 0, 3, 5), ("changed_batch", 0, 3, 5)]),
            ("first_seq", [("changed_batch", 0, 4, 5)]),
            ("last_seq", [("changed_batch", 0, 3, 6)]),
            ("hash", [("changed_batch", 0, 3, 5)]),
            ("signature", [("changed_batch", 0, 3, 5)]),
            ("writer_id", [("missing_batches", 0, 3, 5)]),
        ],
    )
    async def test_in_a_batch_that_nobody_signed_too(
        self, db: SqlDb, column: str, found: list[Any]
    ) -> None:
        made = await trail(db, signer=None)
        await self.change_batch(made, column)
        assert await made.found() == found

    async def test_but_when_such_a_batch_was_made_nobody_vouches_for(self, db: SqlDb) -> None:
        made = await trail(db, signer=None)
        await self.change_batch(made, "created_at_us")
        assert await made.found() == []

    def test_these_are_all_columns_of_a_batch(self) -> None:
        assert set(BATCH_COLUMNS) == {
            *("writer_id", "number", "first_seq", "last_seq", "hash"),
            *("created_at_us", "signature"),
        }

    async def change_batch(self, made: Trail, column: str) -> None:
        batch = (await all_batches(made.db, made.writers[0]))[1]
        value = other(getattr(batch, column), column)
        # A number of its own: the next ones are taken.
        value = value + 9 if column == "number" and isinstance(value, int) else value
        await made.do(f"UPDATE licet_audit_batches SET {column} = ? WHERE number = 2", value)  # noqa: S608 - constants

    @EITHER
    async def test_an_end_that_is_not_the_batchs_is_not_taken_for_missing_records(
        self, db: SqlDb, signer: Any
    ) -> None:
        made = await trail(db, signer=signer)
        code = "changed_batch" if signer is None else "bad_signature"
        change = "UPDATE licet_audit_batches SET last_seq = ? WHERE number = ?"
        for batch in await all_batches(db, made.writers[0]):
            for last_seq in {1, 2, 3, 4, 5, 6, 60, 2**62} - {batch.last_seq}:
                await made.do(change, last_seq, batch.number)
                assert await made.found() == [(code, 0, batch.first_seq, last_seq)]
            await made.do(change, batch.last_seq, batch.number)

    async def test_of_a_record_together_with_its_hash_is_named_by_the_one_that_follows(
        self, db: SqlDb
    ) -> None:
        made = await trail(db)
        await rewrite(made, 4, 4, decision="deny")
        assert await made.found() == [("changed_record", 0, 5, 5)]

    @EITHER
    async def test_of_the_last_record_together_with_its_hash_is_named_by_its_batch(
        self, db: SqlDb, signer: Any
    ) -> None:
        made = await trail(db, signer=signer)
        await rewrite(made, 6, 6, decision="deny")
        assert await made.found() == [("changed_batch", 0, 6, 6)]

    async def test_in_many_records_is_told_in_ranges(self, db: SqlDb) -> None:
        made = await trail(db)
        await made.do("UPDATE licet_audit SET client = '10.0.0.1' WHERE seq IN (2, 3, 4, 6)")
        assert await made.found() == [("changed_record", 0, 2, 4), ("changed_record", 0, 6, 6)]


class TestARemovedRecord:
    @EITHER
    @pytest.mark.parametrize("seq", SEQS)
    async def test_is_named_wherever_it_was(self, db: SqlDb, seq: int, signer: Any) -> None:
        made = await trail(db, signer=signer)
        await remove(made, seq, seq)
        assert await made.found() == [("missing_records", 0, seq, seq)]

    @EITHER
    @pytest.mark.parametrize(("first", "last"), [(1, 2), (2, 5), (3, 5), (4, 6), (1, 6)])
    async def test_many_are_named_together(
        self, db: SqlDb, first: int, last: int, signer: Any
    ) -> None:
        made = await trail(db, signer=signer)
        await remove(made, first, last)
        found = await made.found()
        assert {code for code, *_ in found} == {"missing_records"}
        gone = [seq for _, _, a, b in found for seq in range(a, b + 1)]
        assert gone == list(range(first, last + 1))

    async def test_behind_a_gap_that_ends_with_its_batch_all_is_proven(self, db: SqlDb) -> None:
        made = await trail(db)
        await remove(made, 4, 5)
        await made.do("UPDATE licet_audit SET client = '10.0.0.1' WHERE seq = 6")
        found = [("missing_records", 0, 4, 5), ("changed_record", 0, 6, 6)]
        assert await made.found() == found

    @EITHER
    async def test_with_its_whole_batch_both_are_missing(self, db: SqlDb, signer: Any) -> None:
        made = await trail(db, signer=signer)
        await remove(made, 3, 5, batches=[2])
        found = [("missing_batches", 0, 3, 5), ("missing_records", 0, 3, 5)]
        assert await made.found() == found

    async def test_from_which_the_rest_was_renumbered_is_no_less_found(self, db: SqlDb) -> None:
        made = await trail(db)
        await remove(made, 2, 2)
        for seq in (3, 4, 5, 6):
            await made.do("UPDATE licet_audit SET seq = ? WHERE seq = ?", seq - 1, seq)
        found = [("changed_batch", 0, 1, 6), ("changed_record", 0, 2, 5)]
        assert sorted(await made.found()) == found


class TestACutTail:
    @pytest.mark.parametrize("seq", [2, 3, 4, 5])
    async def test_within_a_batch_is_found_by_the_batch(self, db: SqlDb, seq: int) -> None:
        made = await trail(db)
        await made.do("DELETE FROM licet_audit WHERE seq > ?", seq)
        found = await made.found()
        assert {code for code, *_ in found} == {"missing_records"}
        assert (found[0][2], found[-1][3]) == (seq + 1, 6)

    @pytest.mark.parametrize(
        ("batches", "anchored", "cut"),
        [(2, 6, (6, 6)), (1, 6, (3, 6)), (1, 5, (3, 5)), (0, 2, (1, 2)), (0, 6, (1, 6))],
    )
    @EITHER
    async def test_with_its_batches_is_found_by_an_anchor_behind_it(
        self, db: SqlDb, batches: int, anchored: int, cut: tuple[int, int], signer: Any
    ) -> None:
        made = await trail(db, signer=signer)
        await made.do("DELETE FROM licet_audit WHERE seq > ?", sum(BATCHES[:batches]))
        await made.do("DELETE FROM licet_audit_batches WHERE number > ?", batches)
        found = await made.found(anchors=made.anchors_at(0, anchored))
        assert found == [("cut_off", 0, *cut)]

    @pytest.mark.parametrize("anchored", [0, 2, 5])
    async def test_behind_the_last_anchor_is_not_missed(self, db: SqlDb, anchored: int) -> None:
        """That is what anchors are for, and how far they reach."""
        made = await trail(db)
        await remove(made, 6, 6, batches=[3])
        assert await made.found(anchors=made.anchors_at(0, anchored)) == []
        assert await made.found() == []

    async def test_of_which_the_end_was_made_anew_with_the_key_is_found_by_the_anchor(
        self, db: SqlDb
    ) -> None:
        made = await trail(db)
        digest = await rewrite(made, 2, 2, subject="sten")
        await made.do("DELETE FROM licet_audit WHERE seq > 2")
        await made.do("DELETE FROM licet_audit_batches WHERE number > 1")
        await sign_again(made, 1, digest)
        assert await made.found() == []
        found = [("changed_record", 0, 2, 2), ("cut_off", 0, 3, 6)]
        assert await made.found(anchors=made.anchors) == found


async def sign_again(made: Trail, number: int, digest: str, signer: Any = ED25519) -> None:
    """Give a batch another head, signed with a key."""
    batch = (await all_batches(made.db, made.writers[0]))[number - 1]
    values = {name: getattr(batch, name) for name in BATCH_COLUMNS}
    forged = AuditBatch(**{**values, "hash": digest})
    await made.do(
        "UPDATE licet_audit_batches SET hash = ?, signature = ? WHERE number = ?",
        digest,
        signer.sign(batch_message(forged)),
        number,
    )


class TestAnInsertedRecord:
    @EITHER
    @pytest.mark.parametrize("with_its_hash", [True, False])
    async def test_at_the_end_is_named(
        self, db: SqlDb, signer: Any, *, with_its_hash: bool
    ) -> None:
        made = await trail(db, signer=signer)
        await insert(made, 7, await head(made, 6) if with_its_hash else None)
        assert await made.found(anchors=made.anchors) == [("inserted_records", 0, 7, 7)]

    async def test_each_of_several_is_named(self, db: SqlDb) -> None:
        made = await trail(db)
        for seq in (7, 8, 100, 2**62):
            await insert(made, seq)
        assert await made.found(anchors=made.anchors) == [
            ("inserted_records", 0, 7, 8),
            ("inserted_records", 0, 100, 100),
            ("inserted_records", 0, 2**62, 2**62),
        ]

    async def test_behind_a_tail_that_was_cut_off_hides_nothing(self, db: SqlDb) -> None:
        made = await trail(db)
        await remove(made, 6, 6, batches=[3])
        await insert(made, 6)
        found = [("inserted_records", 0, 6, 6), ("cut_off", 0, 6, 6)]
        assert await made.found(anchors=made.anchors) == found

    @pytest.mark.parametrize("seq", [0, -1, -(2**62)])
    async def test_before_the_first_is_named(self, db: SqlDb, seq: int) -> None:
        made = await trail(db)
        await insert(made, seq)
        report = await made.verified(anchors=made.anchors)
        (finding,) = report.findings
        assert (finding.code, finding.writer_id) == ("inserted_records", made.writers[0])
        assert str(seq) in finding.text

    async def test_in_between_where_the_rest_was_renumbered_is_found(self, db: SqlDb) -> None:
        made = await trail(db)
        for seq in (6, 5, 4, 3):
            await made.do("UPDATE licet_audit SET seq = ? WHERE seq = ?", seq + 1, seq)
        await insert(made, 3, await head(made, 2))
        found = [("changed_record", 0, 4, 7), ("changed_batch", 0, 3, 6)]
        assert await made.found(anchors=made.anchors) == found

    @SIGNED
    async def test_with_a_batch_of_its_own_lacks_the_signature(
        self, db: SqlDb, signer: Any
    ) -> None:
        made = await trail(db, signer=signer)
        digest = await insert(made, 7, await head(made, 6))
        for signature in (None, "", "x", MALLORY.sign(b"x")):
            await made.do(
                "INSERT INTO licet_audit_batches VALUES (?, 4, 7, 7, ?, 5000, ?)",
                made.writers[0],
                digest,
                signature,
            )
            assert await made.found() == [("bad_signature", 0, 7, 7)]
            await made.do("DELETE FROM licet_audit_batches WHERE number = 4")


class TestRecordsThatChangedPlaces:
    @pytest.mark.parametrize(("one", "two"), [(1, 2), (2, 3), (3, 5), (1, 6), (5, 6)])
    @EITHER
    async def test_are_found(self, db: SqlDb, one: int, two: int, signer: Any) -> None:
        made = await trail(db, signer=signer)
        for seq, place in ((one, 99), (two, one), (99, two)):
            await made.do("UPDATE licet_audit SET seq = ? WHERE seq = ?", place, seq)
        found = await made.found()
        named = {
            seq for code, _, a, b in found if code == "changed_record" for seq in range(a, b + 1)
        }
        assert {one, two} <= named

    @EITHER
    async def test_a_record_of_another_writer_is_found(self, db: SqlDb, signer: Any) -> None:
        made = await trail(db, writers=2, signer=signer)
        theirs = (await all_records(db, made.writers[1]))[3]
        mine = msgspec.structs.replace(theirs, writer_id=made.writers[0])
        await put(made, mine, mine.hash)
        found = await made.found()
        assert found[0] == ("changed_record", 0, 4, 4)
        assert {place for _, place, *_ in found} == {0}


class TestBatches:
    @EITHER
    async def test_that_changed_places_are_found(self, db: SqlDb, signer: Any) -> None:
        made = await trail(db, signer=signer)
        for number, place in ((1, 99), (2, 1), (99, 2)):
            await made.do(
                "UPDATE licet_audit_batches SET number = ? WHERE number = ?", place, number
            )
        code = "changed_batch" if signer is None else "bad_signature"
        assert await made.found() == [(code, 0, 3, 5), (code, 0, 1, 2)]

    @SIGNED
    async def test_that_changed_signatures_are_found(self, db: SqlDb, signer: Any) -> None:
        made = await trail(db, signer=signer)
        one, two, _ = await all_batches(db, made.writers[0])
        for number, signature in ((1, two.signature), (2, one.signature)):
            await made.do(
                "UPDATE licet_audit_batches SET signature = ? WHERE number = ?", signature, number
            )
        assert await made.found() == [("bad_signature", 0, 1, 5)]

    @EITHER
    @pytest.mark.parametrize(("number", "cover"), [(1, (1, 2)), (2, (3, 5))])
    async def test_a_missing_one_is_named_by_the_records_that_it_covered(
        self, db: SqlDb, number: int, cover: tuple[int, int], signer: Any
    ) -> None:
        made = await trail(db, signer=signer)
        await made.do("DELETE FROM licet_audit_batches WHERE number = ?", number)
        assert await made.found() == [("missing_batches", 0, *cover)]

    async def test_the_last_one_that_is_missing_is_told_by_an_anchor(self, db: SqlDb) -> None:
        made = await trail(db)
        await made.do("DELETE FROM licet_audit_batches WHERE number = 3")
        assert await made.found() == [("inserted_records", 0, 6, 6)]
        assert await made.found(anchors=made.anchors) == [("missing_batches", 0, 6, 6)]

    async def test_all_that_are_missing_are_told_as_far_as_was_anchored(self, db: SqlDb) -> None:
        made = await trail(db)
        await made.do("DELETE FROM licet_audit_batches")
        assert await made.found() == [("inserted_records", 0, 1, 6)]
        found = [("missing_batches", 0, 1, 5), ("inserted_records", 0, 6, 6)]
        assert await made.found(anchors=made.anchors_at(2, 5)) == found

    @EITHER
    async def test_an_inserted_one_is_found(self, db: SqlDb, signer: Any) -> None:
        made = await trail(db, signer=signer)
        batch = (await all_batches(db, made.writers[0]))[2]
        await made.do(
            "INSERT INTO licet_audit_batches VALUES (?, 4, 6, 6, ?, ?, ?)",
            made.writers[0],
            batch.hash,
            batch.created_at_us,
            batch.signature,
        )
        code = "changed_batch" if signer is None else "bad_signature"
        assert await made.found() == [(code, 0, 6, 6)]

    @pytest.mark.parametrize("number", [0, -7])
    async def test_one_before_the_first_is_found(self, db: SqlDb, number: int) -> None:
        made = await trail(db)
        await made.do(
            "INSERT INTO licet_audit_batches VALUES (?, ?, 1, 2, 'h', 1, NULL)",
            made.writers[0],
            number,
        )
        assert await made.found() == [("changed_batch", 0, None, None)]


class TestAnAttackerWithoutTheKey:
    """Who can write the database computes all hashes anew; the signatures are what is missing."""

    @SIGNED
    async def test_a_chain_computed_anew_is_found_from_the_first_change_on(
        self, db: SqlDb, signer: Any
    ) -> None:
        made = await trail(db, signer=signer)
        for number, last in ((2, 5), (3, 6)):
            digest = await rewrite(made, 4 if number == 2 else 6, last, subject="sten")
            await made.do(
                "UPDATE licet_audit_batches SET hash = ? WHERE number = ?", digest, number
            )
        assert await made.found() == [("bad_signature", 0, 3, 6)]

    async def test_the_same_of_an_unsigned_chain_is_seen_by_anchors_alone(self, db: SqlDb) -> None:
        made = await trail(db, signer=None)
        for number, last in ((2, 5), (3, 6)):
            digest = await rewrite(made, 4 if number == 2 else 6, last, subject="sten")
            await made.do(
                "UPDATE licet_audit_batches SET hash = ? WHERE number = ?", digest, number
            )
        assert await made.found() == []
        found = await made.found(anchors=made.anchors)
        assert found == [("changed_record", 0, 5, 6)]

    async def test_a_key_of_ones_own_signs_nothing_here(self, db: SqlDb) -> None:
        made = await trail(db)
        await sign_again(made, 3, await rewrite(made, 6, 6, decision="deny"), MALLORY)
        assert await made.found() == [("bad_signature", 0, 6, 6)]


class TestAnAttackerWithTheKey:
    async def test_a_chain_signed_anew_is_found_by_the_first_anchor_behind_the_change(
        self, db: SqlDb
    ) -> None:
        made = await trail(db)
        await sign_again(made, 2, await rewrite(made, 3, 5, subject="sten"))
        await sign_again(made, 3, await rewrite(made, 6, 6))
        assert await made.found() == []
        assert await made.found(anchors=made.anchors_at(0, 2)) == []
        assert await made.found(anchors=made.anchors_at(2, 5)) == [("changed_record", 0, 5, 5)]
        assert await made.found(anchors=made.anchors) == [("changed_record", 0, 5, 6)]

    async def test_a_later_anchor_does_not_take_back_an_earlier_one(self, db: SqlDb) -> None:
        """Who can add to the anchors adds one of the forged chain."""
        made = await trail(db)
        true = made.anchors_at(5)
        await sign_again(made, 2, await rewrite(made, 3, 5, subject="sten"))
        await sign_again(made, 3, await rewrite(made, 6, 6))
        forged = [replace(anchor, hash=await head(made, 5)) for anchor in true]
        signed = [replace(each, signature=ED25519.sign(each.message())) for each in forged]
        assert await made.found(anchors=signed) == []
        for order in ([*true, *signed], [*signed, *true]):
            assert await made.found(anchors=order) == [("changed_record", 0, 5, 5)]


class TestWhatIsOfNoTypeThatIsWritten:
    """SQLite keeps anything in any column: it is found, and nothing fails because of it."""

    @pytest.fixture
    def kind(self) -> str:
        return "sqlite"

    @pytest.mark.parametrize("value", [b"POST", b"\xff", b""])
    @pytest.mark.parametrize("column", ["method", "subject", "hash"])
    async def test_bytes_in_a_record(self, db: SqlDb, column: str, value: bytes) -> None:
        made = await trail(db)
        await made.do(f"UPDATE licet_audit SET {column} = ? WHERE seq = 4", value)  # noqa: S608 - constants
        assert await made.found(anchors=made.anchors) == [("changed_record", 0, 4, 4)]

    async def test_bytes_whose_base64_is_the_text_that_was_there(self, db: SqlDb) -> None:
        made = Trail(db)
        sink = DbSink(db.audit(), os_id="os", signer=ED25519, anchors=[KeptAnchors()])
        await sink.write([event(1, subject="YWJj")])
        await made.do("UPDATE licet_audit SET subject = ?", b"abc")
        (finding,) = (await made.verified()).findings
        assert (finding.code, finding.first_seq) == ("changed_record", 1)
        await sink.close()

    @pytest.mark.parametrize("value", ["soon", b"\0", 1.5, 1e300])
    @pytest.mark.parametrize("column", ["latency_us", "status"])
    async def test_a_number_that_is_none(self, db: SqlDb, column: str, value: object) -> None:
        made = await trail(db)
        await made.do(f"UPDATE licet_audit SET {column} = ? WHERE seq = 4", value)  # noqa: S608 - constants
        assert await made.found(anchors=made.anchors) == [("changed_record", 0, 4, 4)]

    @pytest.mark.parametrize("value", ["soon", b"\0", 4.5, 1e300])
    @pytest.mark.parametrize("column", ["seq", "time_us"])
    async def test_a_place_that_is_none(self, db: SqlDb, column: str, value: object) -> None:
        made = await trail(db)
        await made.do(f"UPDATE licet_audit SET {column} = ? WHERE seq = 4", value)  # noqa: S608 - constants
        found = await made.found(anchors=made.anchors)
        code = "inserted_records" if column == "seq" else "changed_record"
        assert (code, 0) in [each[:2] for each in found]
        if column == "seq":
            assert ("missing_records", 0, 4, 4) in found

    @pytest.mark.parametrize("value", ["soon", b"\0", 1.5, 1e300])
    @pytest.mark.parametrize("column", ["number", "first_seq", "last_seq"])
    async def test_a_batch_whose_numbers_are_none(
        self, db: SqlDb, column: str, value: object
    ) -> None:
        made = await trail(db)
        await made.do(f"UPDATE licet_audit_batches SET {column} = ? WHERE number = 2", value)  # noqa: S608 - constants
        found = await made.found(anchors=made.anchors)
        assert ("changed_batch", 0, None, None) in found
        assert ("missing_batches", 0, 3, 5) in found

    @pytest.mark.parametrize("value", [b"\0", 5, "é"])
    @pytest.mark.parametrize("column", ["hash", "signature", "created_at_us"])
    @SIGNED
    async def test_a_batch_whose_other_values_are_none(
        self, db: SqlDb, column: str, value: object, signer: Any
    ) -> None:
        made = await trail(db, signer=signer)
        await made.do(f"UPDATE licet_audit_batches SET {column} = ? WHERE number = 2", value)  # noqa: S608 - constants
        assert await made.found(anchors=made.anchors) == [("bad_signature", 0, 3, 5)]

    async def test_text_that_is_no_text_is_told_as_an_error_and_nothing_is_called_sound(
        self, db: SqlDb
    ) -> None:
        made = await trail(db)
        await made.do("UPDATE licet_audit SET reason = CAST(x'ff' AS TEXT) WHERE seq = 4")
        with pytest.raises(StorageError, match="UTF-8"):
            await made.verified()


class TestWhileServersWrite:
    @pytest.mark.parametrize("page", [1, 3, 2000])
    async def test_what_comes_meanwhile_is_not_taken_for_inserted(
        self, new_db: Any, monkeypatch: pytest.MonkeyPatch, page: int
    ) -> None:
        monkeypatch.setattr(chain_check, "PAGE", page)
        monkeypatch.setattr("licet.audit.verifying.PAGE", page)
        here, there = new_db(), new_db()
        writing = asyncio.create_task(self.write(here))
        reports = 0
        while not writing.done() or reports < 3:
            report = await verify(there.audit(), verifiers=[ED25519])
            assert report.findings == []
            reports += 1
        assert await writing == (await verify(there.audit())).records
        await here.close()
        await there.close()

    async def write(self, db: SqlDb) -> int:
        written = 0
        for _ in range(4):
            sink = DbSink(db.audit(), os_id="os", signer=ED25519, anchors=[KeptAnchors()])
            await sink.start()
            for size in (1, 2, 3, 4, 1, 7):
                await sink.write(events(1, size))
                written += size
            await sink.close()
        return written

    @pytest.mark.parametrize("at", range(1, 12))
    async def test_a_batch_may_come_between_any_two_readings(self, at: int) -> None:
        db = InMemoryDb()
        sink = DbSink(db.audit(), os_id="os", signer=ED25519, anchors=[KeptAnchors()])
        await sink.write(events(1, 2))
        store = Interrupted(db.audit(), sink, at)
        report = await verify(store, verifiers=[ED25519])
        assert report.findings == []
        await sink.close()


class Interrupted:
    """A store into which somebody writes before one of the readings; also a new writer."""

    def __init__(self, store: AuditStore, sink: DbSink, at: int) -> None:
        self._store = store
        self._sink = sink
        self._at = at

    def __getattr__(self, name: str) -> Any:
        async def read(*arguments: Any, **named: Any) -> Any:
            self._at -= 1
            if self._at == 0:
                await self._sink.write(events(3, 5))
                other = DbSink(self._store, os_id="os", signer=ED25519, anchors=[KeptAnchors()])
                await other.write(events(1, 2))
                await other.close()
            return await getattr(self._store, name)(*arguments, **named)

        return read
