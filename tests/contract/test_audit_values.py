"""Whatever a row of audit holds comes back as it was; what cannot be stored is refused."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from licet.db.audit_records import AUDIT_FIELDS, AuditQuery, AuditRecord
from licet.db.base import Db
from licet.db.codec import MAX_INTEGER, MAX_KEY_BYTES
from licet.db.in_memory import InMemoryDb
from licet.errors import StorageError
from tests.contract.audit_rows import (
    all_batches,
    all_records,
    all_writers,
    append,
    batch,
    forget_audit,
    record,
    records,
    writer,
)
from tests.contract.test_values import BAD_TEXTS, TEXTS, texts
from tests.support.examples import examples

NUMBERS = ["time_us", "status", "latency_us"]
OPTIONAL = [
    "status",
    "issuer_alias",
    "subject",
    "token_id",
    "action",
    "resource",
    "resource_id",
    "client",
]
FIELDS = [*AUDIT_FIELDS, "hash"]
RECORD_TEXTS = [name for name in FIELDS if name not in {"seq", *NUMBERS}]
MOST_BYTES = {"writer_id": MAX_KEY_BYTES, "issuer_alias": 500, "subject": 2000}
BEYOND = [2**63, -(2**63) - 1, 2**64, 2**70]
# Looks like what JSON makes of a NUL, of a quote, of a surrogate, of a placeholder.
TRICKY = ["\\u0000", "a\\u0000b", "\\", '\\"', "\\ud83d", "$1", "?", "\x01\x1f", "null", "1", "1.0"]


def fields_of(found: AuditRecord) -> list[tuple[type, Any]]:
    """What a chain covers, with the types: 1 is not True, and no text is a number."""
    values = [getattr(found, name) for name in AUDIT_FIELDS]
    return [(type(value), value) for value in values]


async def is_empty(db: Db) -> bool:
    held = (await all_records(db), await all_batches(db), await all_writers(db))
    return held == ([], [], [])


def test_a_chain_covers_all_but_the_writer_and_the_hash() -> None:
    assert AuditRecord.__struct_fields__ == ("writer_id", *AUDIT_FIELDS, "hash")


@pytest.mark.parametrize("text", [*TEXTS, *TRICKY], ids=range(len(TEXTS) + len(TRICKY)))
async def test_texts_come_back_as_they_were(db: Db, text: str) -> None:
    key, alias = text[:MAX_KEY_BYTES], text[:500]
    values: dict[str, Any] = dict.fromkeys(RECORD_TEXTS, text)
    values |= {"issuer_alias": alias, "subject": text[:2000]}
    given = record(writer_id=key, **values)
    await append(db, [given], signature=text)
    (found,) = await all_records(db, key)
    assert fields_of(found) == fields_of(given)
    assert found == given
    query = AuditQuery(issuer_alias=alias, subject=text[:2000], client=text, request_id=text)
    assert list(await db.audit().find(query)) == [given]
    assert await all_batches(db, key) == [batch([given], signature=text)]
    registered = writer(id=key, os_id=text, key_id=text, hash=text, signature=text)
    await db.audit().register_writer(registered)
    assert await db.audit().last_writer() == registered


async def test_what_is_not_given_is_none_and_not_empty(db: Db) -> None:
    nothing = record(1, **dict.fromkeys(OPTIONAL))
    empty = record(2, **dict.fromkeys([name for name in OPTIONAL if name != "status"], ""))
    zero = record(3, status=0, latency_us=0, time_us=0)
    await append(db, [nothing, empty, zero])
    found = await all_records(db)
    assert list(map(fields_of, found)) == list(map(fields_of, [nothing, empty, zero]))


@pytest.mark.parametrize("number", [MAX_INTEGER, -MAX_INTEGER, 2**53 + 1, 10**18 + 1, -1, 0])
async def test_numbers_come_back_as_they_were(db: Db, number: int) -> None:
    given = record(number, **dict.fromkeys(NUMBERS, number))
    await append(db, [given], created_at_us=number)
    found = await db.audit().find(AuditQuery())
    assert list(map(fields_of, found)) == [fields_of(given)]
    assert await all_batches(db) == [batch([given], created_at_us=number)]
    await db.audit().register_writer(writer(registered_at_us=number))
    assert await db.audit().last_writer() == writer(registered_at_us=number)


TEXT_OR_NONE = st.none() | texts
INTEGERS = st.integers(-MAX_INTEGER, MAX_INTEGER)


@settings(
    max_examples=examples(0.25),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {
                **{name: texts for name in RECORD_TEXTS if name not in OPTIONAL},
                **dict.fromkeys(OPTIONAL, TEXT_OR_NONE),
                "time_us": INTEGERS,
                "latency_us": INTEGERS,
                "status": st.none() | INTEGERS,
            }
        ),
        min_size=1,
        max_size=5,
    )
)
async def test_any_record_comes_back_as_it_was(
    db: Db, kind: str, rows: list[dict[str, Any]]
) -> None:
    if kind == "in_memory":
        db = InMemoryDb()
    else:
        await forget_audit(db)
    given = [record(seq, **row) for seq, row in enumerate(rows, 1)]
    await append(db, given)
    found = await all_records(db)
    assert list(map(fields_of, found)) == list(map(fields_of, given))
    assert found == given


@pytest.mark.parametrize("field", RECORD_TEXTS)
async def test_a_record_with_a_text_that_cannot_be_stored_is_refused_with_its_batch(
    db: Db, field: str
) -> None:
    for bad in BAD_TEXTS:
        given = [*records(1, 2), record(3, **{field: bad}), *records(4, 5)]
        with pytest.raises(StorageError, match=field):
            await append(db, given)
    assert await is_empty(db)


@pytest.mark.parametrize("field", NUMBERS)
async def test_a_record_with_a_number_beyond_64_bits_is_refused_with_its_batch(
    db: Db, field: str
) -> None:
    for bad in BEYOND:
        given = [*records(1, 2), record(3, **{field: bad}), *records(4, 5)]
        with pytest.raises(StorageError, match=field):
            await append(db, given)
    assert await is_empty(db)


async def test_a_sequence_beyond_64_bits_is_refused(db: Db) -> None:
    for bad in BEYOND:
        with pytest.raises(StorageError, match="seq"):
            await append(db, [record(bad)])
    assert await is_empty(db)


@pytest.mark.parametrize("bad", ["\\\0", '"\0', "\\\\\0", "\\u0000\0", "\\\\u0000\\\0u0000"])
async def test_a_nul_is_found_behind_what_is_escaped(db: Db, bad: str) -> None:
    with pytest.raises(StorageError, match="reason"):
        await append(db, [*records(1, 2), record(3, reason=bad)])
    assert await is_empty(db)


async def test_a_value_that_is_neither_text_nor_number_is_refused(db: Db) -> None:
    with pytest.raises(StorageError, match="neither text nor number"):
        await append(db, [*records(1, 2), record(3, reason=object())])
    assert await is_empty(db)


def mixed_text(length: int) -> str:
    """A text that no compression makes shorter, of letters with four bytes each."""
    letters = random.Random(1).choices(range(0x10000, 0x20000), k=length // 4)  # noqa: S311 - no secret
    return "".join(map(chr, letters)) + "x" * (length % 4)


async def test_the_longest_keys_are_stored(db: Db) -> None:
    given = record(**{name: mixed_text(most) for name, most in MOST_BYTES.items()})
    await append(db, [given])
    query = AuditQuery(issuer_alias=given.issuer_alias, subject=given.subject)
    assert list(await db.audit().find(query)) == [given]


@pytest.mark.parametrize("field", MOST_BYTES)
async def test_a_key_longer_than_an_index_takes_is_refused(db: Db, field: str) -> None:
    with pytest.raises(StorageError, match=field):
        await append(db, [record(**{field: mixed_text(MOST_BYTES[field]) + "é"})])
    assert await is_empty(db)


@pytest.mark.parametrize(
    ("field", "values"),
    [("signature", BAD_TEXTS), ("created_at_us", BEYOND), ("number", BEYOND)],
    ids=["signature", "created_at_us", "number"],
)
async def test_a_batch_that_cannot_be_stored_is_refused(
    db: Db, field: str, values: list[Any]
) -> None:
    of = records(1, 2)
    for bad in values:
        with pytest.raises(StorageError, match=field):
            await db.audit().append(batch(of, **{"number": 1, field: bad}), of)
    assert await is_empty(db)


@pytest.mark.parametrize("field", ["id", "os_id", "key_id", "hash", "signature"])
async def test_a_registration_with_a_text_that_cannot_be_stored_is_refused(
    db: Db, field: str
) -> None:
    for bad in (*BAD_TEXTS, *([mixed_text(MAX_KEY_BYTES) + "x"] if field == "id" else [])):
        with pytest.raises(StorageError, match=field):
            await db.audit().register_writer(writer(**{field: bad}))
    assert await is_empty(db)


@pytest.mark.parametrize("field", ["number", "registered_at_us"])
async def test_a_registration_with_a_number_beyond_64_bits_is_refused(db: Db, field: str) -> None:
    for bad in BEYOND:
        with pytest.raises(StorageError, match=field):
            await db.audit().register_writer(writer(**{"number": 1, field: bad}))
    assert await is_empty(db)
