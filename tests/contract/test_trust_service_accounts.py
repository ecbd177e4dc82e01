"""Service accounts: made, rotated, revoked, found and used."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from licet.db.base import Db
from licet.errors import StorageError
from tests.contract.conftest import MakeDb
from tests.contract.trust_rows import account, everything, number_of, rotation


async def test_an_account_comes_back_as_it_was_with_a_number(db: Db) -> None:
    given = account(
        scopes=("agents:é:run", ""),
        old_token_digest="b" * 64,
        old_expires_at_us=7,
        creator_alias="main",
        creator_subject="alice",
        expires_at_us=99,
        last_used_at_us=8,
    )
    before = await number_of(db)
    assert await db.trust().create_service_account(given) is True
    found = await db.trust().get_service_account(given.id)
    assert found is not None
    assert found == replace(given, change_number=found.change_number)
    changes = await db.trust().changes(after=before)
    assert (changes.number, changes.service_accounts) == (found.change_number, (found,))
    assert found.change_number > before
    assert changes.revocations == ()


async def test_an_account_without_scopes_stays_without(db: Db) -> None:
    await db.trust().create_service_account(given := account(scopes=()))
    found = await db.trust().get_service_account(given.id)
    assert found is not None
    assert found.scopes == ()


async def test_one_account_of_a_name_is_active_at_a_time(db: Db) -> None:
    trust = db.trust()
    await trust.create_service_account(first := account(expires_at_us=100))
    assert await trust.create_service_account(account(created_at_us=99)) is False
    assert await trust.create_service_account(account("other", created_at_us=99)) is True
    assert await trust.create_service_account(account(created_at_us=100)) is True
    assert await trust.create_service_account(account(created_at_us=101)) is False
    assert len((await everything(db)).service_accounts) == 3
    assert (await trust.get_service_account(first.id)) is not None


async def test_a_name_is_free_again_when_its_account_was_revoked(db: Db) -> None:
    await db.trust().create_service_account(first := account())
    await db.trust().revoke_service_account(first.id, revoked_at_us=20)
    assert await db.trust().create_service_account(account()) is True


async def test_an_id_that_is_taken_is_refused(db: Db) -> None:
    await db.trust().create_service_account(account("a", id="x"))
    with pytest.raises(StorageError):
        await db.trust().create_service_account(account("b", id="x"))
    assert [a.name for a in (await everything(db)).service_accounts] == ["a"]


async def test_of_many_that_make_one_name_at_once_exactly_one_does(new_db: MakeDb) -> None:
    one, other = new_db(), new_db()
    for turn in range(10):
        making = (
            db.trust().create_service_account(account(f"robot{turn}"))
            for _ in range(6)
            for db in (one, other)
        )
        assert sorted(await asyncio.gather(*making)) == [False] * 11 + [True]
    assert len((await everything(one)).service_accounts) == 10
    await asyncio.gather(one.close(), other.close())


async def test_rotating_gives_another_token_and_keeps_the_old_for_a_while(db: Db) -> None:
    trust = db.trust()
    await trust.create_service_account(given := account(last_used_at_us=5))
    rotated = await trust.rotate_service_account(
        given.id, **rotation(token_digest="new", expires_at_us=500, old_expires_at_us=60)
    )
    assert rotated is not None
    assert rotated == replace(
        given,
        token_digest="new",
        token_prefix="licet_sa_wxyz",
        expires_at_us=500,
        old_token_digest=given.token_digest,
        old_expires_at_us=60,
        change_number=rotated.change_number,
    )
    changes = await trust.changes(after=rotated.change_number - 1)
    assert (changes.number, changes.service_accounts) == (rotated.change_number, (rotated,))
    assert await trust.find_service_account("new") == rotated
    assert await trust.find_service_account(given.token_digest) == rotated


async def test_an_older_token_ends_with_the_second_rotation(db: Db) -> None:
    trust = db.trust()
    await trust.create_service_account(given := account())
    await trust.rotate_service_account(given.id, **rotation(token_digest="second"))
    third = await trust.rotate_service_account(given.id, **rotation(token_digest="third"))
    assert third is not None
    assert third.old_token_digest == "second"
    assert await trust.find_service_account(given.token_digest) is None


@pytest.mark.parametrize(
    ("own", "given", "stands"), [(None, 60, 60), (100, 60, 60), (55, 60, 55), (60, 60, 60)]
)
async def test_the_old_token_does_not_outlive_its_own_expiry(
    db: Db, own: int | None, given: int, stands: int
) -> None:
    await db.trust().create_service_account(old := account(expires_at_us=own))
    rotated = await db.trust().rotate_service_account(old.id, **rotation(old_expires_at_us=given))
    assert rotated is not None
    assert (rotated.old_expires_at_us, rotated.expires_at_us) == (stands, None)


async def test_what_is_not_active_is_not_rotated(db: Db) -> None:
    trust = db.trust()
    expired, revoked = account("expired", expires_at_us=50), account("revoked")
    for given in (expired, revoked):
        await trust.create_service_account(given)
    await trust.revoke_service_account(revoked.id, revoked_at_us=20)
    before = (await everything(db)).service_accounts
    for account_id in (expired.id, revoked.id, "unknown"):
        assert await trust.rotate_service_account(account_id, **rotation(now_us=50)) is None
    assert (await everything(db)).service_accounts == before
    assert await trust.rotate_service_account(expired.id, **rotation(now_us=49)) is not None


async def test_an_account_whose_name_went_to_another_is_not_brought_back(db: Db) -> None:
    trust = db.trust()
    old, new = account(expires_at_us=50), account(created_at_us=50)
    assert await trust.create_service_account(old) is True
    assert await trust.create_service_account(new) is True
    # A clock that is behind: the old one has not expired by it.
    assert await trust.rotate_service_account(old.id, **rotation(now_us=49)) is None
    assert await trust.rotate_service_account(new.id, **rotation(now_us=50)) is not None


async def test_revoking_is_done_once_and_told(db: Db) -> None:
    trust = db.trust()
    await trust.create_service_account(given := account())
    revoked = await trust.revoke_service_account(given.id, revoked_at_us=20)
    assert revoked is not None
    assert revoked == replace(given, revoked_at_us=20, change_number=revoked.change_number)
    changes = await trust.changes(after=revoked.change_number - 1)
    assert changes.service_accounts == (revoked,)
    assert await trust.revoke_service_account(given.id, revoked_at_us=30) == revoked
    assert await trust.get_service_account(given.id) == revoked
    assert await trust.find_service_account(given.token_digest) == revoked
    assert await trust.revoke_service_account("unknown", revoked_at_us=20) is None


async def test_what_is_not_there_is_not_found(db: Db) -> None:
    await db.trust().create_service_account(account())
    assert await db.trust().get_service_account("unknown") is None
    assert await db.trust().find_service_account("unknown") is None


async def test_a_digest_that_is_one_accounts_token_and_anothers_old_one_is_the_firsts(
    db: Db,
) -> None:
    trust = db.trust()
    await trust.create_service_account(account("a", id="a", token_digest="d"))
    await trust.rotate_service_account("a", **rotation())
    await trust.create_service_account(account("b", id="b", token_digest="d"))
    found = await trust.find_service_account("d")
    assert found is not None
    assert found.id == "b"


async def test_the_latest_use_is_remembered_and_no_number_is_raised(db: Db) -> None:
    trust = db.trust()
    await trust.create_service_account(given := account())
    before, seen = await number_of(db), []
    for at in (0, 30, 20, 40):
        await trust.touch_service_account(given.id, last_used_at_us=at)
        found = await trust.get_service_account(given.id)
        assert found is not None
        seen.append(found.last_used_at_us)
    await trust.touch_service_account("unknown", last_used_at_us=50)
    assert seen == [0, 30, 30, 40]
    assert await number_of(db) == before
