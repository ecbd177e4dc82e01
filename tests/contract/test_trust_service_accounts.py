"""Service accounts: made, rotated, revoked, found and used."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from licet.db.base import Db
from licet.errors import StorageError
from tests.contract.conftest import MakeDb
from tests.contract.trust_rows import account, everything, number_of, rotation


async def test_an_account_comes_back_as_it_was_with_a_number(db: Db) -> None:
    given = account(
        scopes=("agents:é:run", ""),
        rotator_alias="partner",
        rotator_subject="bob",
        rotator_issued_at_us=6,
        old_token_digest="b" * 64,
        old_expires_at_us=7,
        old_rotator_alias="main",
        old_rotator_subject="carol",
        old_rotator_issued_at_us=5,
        creator_alias="main",
        creator_subject="alice",
        creator_issued_at_us=4,
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
    assert given.token_digest is not None
    assert await trust.find_service_account(given.token_digest) == rotated


async def test_rotating_says_who_had_each_token_made(db: Db) -> None:
    trust = db.trust()
    await trust.create_service_account(given := account(creator_alias="main", creator_subject="a"))
    bob: dict[str, Any] = {
        "rotator_alias": "main",
        "rotator_subject": "bob",
        "rotator_issued_at_us": 7,
    }
    first = await trust.rotate_service_account(given.id, **rotation(token_digest="one", **bob))
    assert first is not None
    assert {name: getattr(first, name) for name in bob} == bob
    assert first.old_rotator_alias is first.old_rotator_subject is None
    second = await trust.rotate_service_account(given.id, **rotation(token_digest="two"))
    assert second is not None
    assert (second.rotator_alias, second.rotator_subject, second.rotator_issued_at_us) == (
        None,
        None,
        0,
    )
    assert {name: getattr(second, f"old_{name}") for name in bob} == bob


async def test_a_token_that_is_ended_is_gone_for_good_and_the_other_stays(db: Db) -> None:
    trust = db.trust()
    await trust.create_service_account(given := account(token_digest="one"))
    made = await trust.rotate_service_account(
        given.id, **rotation(token_digest="two", rotator_alias="main", rotator_subject="bob")
    )
    assert made is not None
    ended = await trust.end_service_token(given.id, token_digest="two")
    assert ended is not None
    assert ended == replace(
        made,
        token_digest=None,
        token_prefix="",
        rotator_alias=None,
        rotator_subject=None,
        change_number=ended.change_number,
    )
    changes = await trust.changes(after=ended.change_number - 1)
    assert (changes.number, changes.service_accounts) == (ended.change_number, (ended,))
    assert await trust.find_service_account("two") is None
    assert await trust.find_service_account("one") == ended
    for unknown in ("two", "three"):
        assert await trust.end_service_token(given.id, token_digest=unknown) is None
    assert await trust.end_service_token("unknown", token_digest="one") is None
    assert await trust.get_service_account(given.id) == ended


async def test_the_old_token_can_be_ended_too(db: Db) -> None:
    trust = db.trust()
    await trust.create_service_account(
        given := account(
            token_digest="one",
            rotator_alias="main",
            rotator_subject="bob",
            rotator_issued_at_us=5,
        )
    )
    made = await trust.rotate_service_account(given.id, **rotation(token_digest="two"))
    ended = await trust.end_service_token(given.id, token_digest="one")
    assert made is not None
    assert ended is not None
    assert ended == replace(
        made,
        old_token_digest=None,
        old_expires_at_us=None,
        old_rotator_alias=None,
        old_rotator_subject=None,
        old_rotator_issued_at_us=0,
        change_number=ended.change_number,
    )
    assert await trust.find_service_account("one") is None
    assert await trust.find_service_account("two") == ended


@pytest.mark.parametrize(("asked", "stands"), [(59, 59), (61, 60)])
async def test_rotating_after_the_current_token_was_ended_keeps_the_old_one(
    db: Db, asked: int, stands: int
) -> None:
    trust = db.trust()
    await trust.create_service_account(
        given := account(token_digest="one", rotator_alias="main", rotator_subject="carol")
    )
    await trust.rotate_service_account(given.id, **rotation(token_digest="two"))
    await trust.end_service_token(given.id, token_digest="two")
    found = await trust.rotate_service_account(
        given.id, **rotation(token_digest="three", old_expires_at_us=asked)
    )
    assert found is not None
    assert (found.token_digest, found.old_token_digest) == ("three", "one")
    assert found.old_expires_at_us == stands
    assert (found.old_rotator_alias, found.old_rotator_subject) == ("main", "carol")


async def test_rotating_after_its_only_token_was_ended_leaves_no_old_one(db: Db) -> None:
    trust = db.trust()
    await trust.create_service_account(given := account(token_digest="one", expires_at_us=500))
    await trust.end_service_token(given.id, token_digest="one")
    found = await trust.rotate_service_account(given.id, **rotation(token_digest="two"))
    assert found is not None
    assert (found.token_digest, found.old_token_digest) == ("two", None)
    assert found.old_expires_at_us is None


async def test_an_older_token_ends_with_the_second_rotation(db: Db) -> None:
    trust = db.trust()
    await trust.create_service_account(given := account())
    await trust.rotate_service_account(given.id, **rotation(token_digest="second"))
    third = await trust.rotate_service_account(given.id, **rotation(token_digest="third"))
    assert third is not None
    assert third.old_token_digest == "second"
    assert given.token_digest is not None
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
    assert given.token_digest is not None
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
