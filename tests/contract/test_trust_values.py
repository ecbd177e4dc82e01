"""Whatever a row of trust holds comes back as it was; what cannot be stored is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from licet.db.base import Db
from licet.db.codec import MAX_INTEGER, MAX_KEY_BYTES
from licet.db.trust_records import RevocationQuery
from licet.errors import StorageError
from tests.contract.test_values import BAD_TEXTS, TEXTS
from tests.contract.trust_rows import account, everything, revocation, rotation

REVOCATION_TEXTS = ["id", "issuer_alias", "value", "subject", "reason", "created_by"]
REVOCATION_NUMBERS = ["issued_before_us", "expires_at_us", "created_at_us"]
ACCOUNT_TEXTS = [
    "id",
    "name",
    "token_digest",
    "token_prefix",
    "rotator_alias",
    "rotator_subject",
    "old_token_digest",
    "old_rotator_alias",
    "old_rotator_subject",
    "creator_alias",
    "creator_subject",
]
ACCOUNT_NUMBERS = [
    "rotator_issued_at_us",
    "old_rotator_issued_at_us",
    "creator_issued_at_us",
    "created_at_us",
    "expires_at_us",
    "old_expires_at_us",
    "last_used_at_us",
    "revoked_at_us",
]
LONG = "é" * (MAX_KEY_BYTES // 2) + "x"
BEYOND = [2**63, -(2**63) - 1]


async def is_empty(db: Db) -> bool:
    found = await everything(db)
    return (found.revocations, found.service_accounts) == ((), ())


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
async def test_texts_come_back_as_they_were(db: Db, text: str) -> None:
    key, trust = text[:MAX_KEY_BYTES], db.trust()
    given = revocation(key, id=key, issuer_alias=key, subject=text, reason=text, created_by=text)
    (stored,) = await trust.add_revocations([given])
    assert stored == replace(given, change_number=stored.change_number)
    listed = await trust.list_revocations(RevocationQuery(now_us=0, issuer_alias=key, value=key))
    assert listed.revocations == (stored,)
    assert await trust.delete_revocation(key, deleted_at_us=1) is True
    made = account(
        text,
        id=key,
        scopes=(text, "a:b"),
        token_digest=key,
        token_prefix=text,
        creator_alias=text,
        creator_subject=text,
        rotator_alias=text,
        rotator_subject=text,
        old_rotator_alias=text,
        old_rotator_subject=text,
    )
    assert await trust.create_service_account(made) is True
    found = await trust.find_service_account(key)
    assert found is not None
    assert found == replace(made, change_number=found.change_number)
    assert await trust.get_service_account(key) == found
    assert await trust.create_service_account(replace(made, id="other")) is False


async def test_the_largest_numbers_come_back_as_they_were(db: Db) -> None:
    trust, largest = db.trust(), MAX_INTEGER
    numbers: dict[str, Any] = dict.fromkeys(REVOCATION_NUMBERS, largest)
    (stored,) = await trust.add_revocations([revocation(**numbers)])
    assert {getattr(stored, name) for name in numbers} == {largest}
    numbers = dict.fromkeys(ACCOUNT_NUMBERS, largest)
    await trust.create_service_account(given := account(**numbers))
    found = await trust.get_service_account(given.id)
    assert found is not None
    assert {getattr(found, name) for name in numbers} == {largest}


@pytest.mark.parametrize("field", REVOCATION_TEXTS)
@pytest.mark.parametrize("bad", BAD_TEXTS)
async def test_a_revocation_with_a_text_that_cannot_be_stored_is_refused(
    db: Db, field: str, bad: str
) -> None:
    given = revocation(**{field: bad})
    with pytest.raises(StorageError, match=field):
        await db.trust().add_revocations([revocation("fine"), given])
    with pytest.raises(StorageError, match=field):
        await db.trust().use_once(given, [])
    with pytest.raises(StorageError, match=field):
        await db.trust().use_once(revocation("fine"), [given])
    assert await is_empty(db)


@pytest.mark.parametrize("field", ["id", "issuer_alias", "value"])
async def test_a_revocation_with_a_key_longer_than_the_index_takes_is_refused(
    db: Db, field: str
) -> None:
    with pytest.raises(StorageError, match=field):
        await db.trust().add_revocations([revocation(**{field: LONG})])
    assert await is_empty(db)


@pytest.mark.parametrize("field", REVOCATION_NUMBERS)
@pytest.mark.parametrize("bad", BEYOND)
async def test_a_revocation_with_a_number_beyond_64_bits_is_refused(
    db: Db, field: str, bad: Any
) -> None:
    with pytest.raises(StorageError, match=field):
        await db.trust().add_revocations([revocation(**{field: bad})])
    assert await is_empty(db)


@pytest.mark.parametrize("field", ACCOUNT_TEXTS)
@pytest.mark.parametrize("bad", BAD_TEXTS)
async def test_an_account_with_a_text_that_cannot_be_stored_is_refused(
    db: Db, field: str, bad: str
) -> None:
    with pytest.raises(StorageError, match=field):
        await db.trust().create_service_account(account(**{field: bad}))
    assert await is_empty(db)


@pytest.mark.parametrize("field", ["id", "token_digest", "old_token_digest"])
async def test_an_account_with_a_key_longer_than_the_index_takes_is_refused(
    db: Db, field: str
) -> None:
    with pytest.raises(StorageError, match=field):
        await db.trust().create_service_account(account(**{field: LONG}))
    assert await is_empty(db)


@pytest.mark.parametrize("field", ACCOUNT_NUMBERS)
@pytest.mark.parametrize("bad", BEYOND)
async def test_an_account_with_a_number_beyond_64_bits_is_refused(
    db: Db, field: str, bad: Any
) -> None:
    with pytest.raises(StorageError, match=field):
        await db.trust().create_service_account(account(**{field: bad}))
    assert await is_empty(db)


async def test_a_scope_that_is_no_text_of_unicode_is_refused(db: Db) -> None:
    with pytest.raises(StorageError, match="scopes"):
        await db.trust().create_service_account(account(scopes=("a:b", "\ud83d")))
    assert await is_empty(db)


@pytest.mark.parametrize(
    "change",
    [
        {"token_digest": "a\0"},
        {"token_digest": LONG},
        {"token_prefix": "\ud83d"},
        {"expires_at_us": 2**63},
        {"old_expires_at_us": 2**63},
        {"rotator_alias": "a\0"},
        {"rotator_subject": "\ud83d"},
        {"rotator_issued_at_us": 2**63},
    ],
)
async def test_a_rotation_that_cannot_be_stored_is_refused(db: Db, change: dict[str, Any]) -> None:
    trust = db.trust()
    await trust.create_service_account(given := account())
    before = await trust.get_service_account(given.id)
    with pytest.raises(StorageError, match=next(iter(change))):
        await trust.rotate_service_account(given.id, **rotation(**change))
    assert await trust.get_service_account(given.id) == before


async def test_times_beyond_64_bits_are_refused_where_they_would_be_stored(db: Db) -> None:
    trust = db.trust()
    await trust.create_service_account(given := account())
    (stored,) = await trust.add_revocations([revocation()])
    with pytest.raises(StorageError, match="deleted_at_us"):
        await trust.delete_revocation(stored.id, deleted_at_us=-(2**63) - 1)
    with pytest.raises(StorageError, match="revoked_at_us"):
        await trust.revoke_service_account(given.id, revoked_at_us=2**63)
    with pytest.raises(StorageError, match="last_used_at_us"):
        await trust.touch_service_account(given.id, last_used_at_us=2**63)


async def test_times_and_numbers_beyond_64_bits_can_be_asked_with(db: Db) -> None:
    trust = db.trust()
    await trust.create_service_account(given := account(expires_at_us=90))
    await trust.add_revocations([revocation(expires_at_us=90)])
    assert (await trust.changes(after=2**70)).revocations == ()
    assert len((await trust.changes(after=-(2**70))).revocations) == 1
    assert (await trust.list_revocations(RevocationQuery(now_us=2**70))).total_count == 0
    assert (await trust.list_revocations(RevocationQuery(now_us=-(2**70)))).total_count == 1
    assert await trust.rotate_service_account(given.id, **rotation(now_us=2**70)) is None
    assert await trust.forget_expired(now_us=-(2**70)) == 0
    assert await trust.forget_expired(now_us=2**70) == 1


@pytest.mark.parametrize("bad", [*BAD_TEXTS, LONG])
async def test_nothing_is_found_under_a_key_that_cannot_be_stored(db: Db, bad: str) -> None:
    trust = db.trust()
    await trust.create_service_account(account())
    await trust.add_revocations([revocation()])
    before = await everything(db)
    assert await trust.delete_revocation(bad, deleted_at_us=20) is False
    assert await trust.get_service_account(bad) is None
    assert await trust.find_service_account(bad) is None
    assert await trust.revoke_service_account(bad, revoked_at_us=20) is None
    assert await trust.rotate_service_account(bad, **rotation()) is None
    assert await trust.end_service_token(bad, token_digest="d") is None
    assert await trust.end_service_token("unknown", token_digest=bad) is None
    await trust.touch_service_account(bad, last_used_at_us=20)
    after = await everything(db)
    assert (after.revocations, after.service_accounts) == (
        before.revocations,
        before.service_accounts,
    )
