"""Revocations: what stands, what is renewed, taken back, used once, forgotten."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from licet.db.base import Db
from licet.db.trust_records import RevocationKind
from licet.errors import StorageError
from tests.contract.conftest import MakeDb
from tests.contract.trust_rows import account, everything, number_of, revocation


async def test_a_revocation_comes_back_as_it_was_with_a_number(db: Db) -> None:
    given = revocation(
        kind=RevocationKind.SESSION,
        subject="alice",
        reason="lost laptop",
        created_by="main|root",
        created_at_us=30,
    )
    before = await number_of(db)
    (stored,) = await db.trust().add_revocations([given])
    assert stored == replace(given, change_number=stored.change_number)
    assert stored.change_number > before
    found = await db.trust().changes(after=before)
    assert (found.number, found.revocations) == (stored.change_number, (stored,))
    assert found.service_accounts == ()


@pytest.mark.parametrize("kind", RevocationKind)
async def test_every_kind_can_be_stored(db: Db, kind: RevocationKind) -> None:
    await db.trust().add_revocations([revocation(kind=kind)])
    assert [r.kind for r in (await everything(db)).revocations] == [kind]


async def test_several_are_stored_under_one_number_in_the_order_given(db: Db) -> None:
    given = [revocation(value) for value in ("b", "a", "c")]
    stored = await db.trust().add_revocations(given)
    assert [r.value for r in stored] == ["b", "a", "c"]
    assert len({r.change_number for r in stored}) == 1


async def test_storing_none_changes_nothing(db: Db) -> None:
    before = await number_of(db)
    assert list(await db.trust().add_revocations([])) == []
    assert await number_of(db) == before


async def test_the_same_value_is_another_revocation_for_another_kind_or_issuer(db: Db) -> None:
    given = [
        revocation(),
        revocation(kind=RevocationKind.SUBJECT),
        revocation(issuer_alias="other"),
    ]
    await db.trust().add_revocations(given)
    assert len((await everything(db)).revocations) == 3


async def test_a_second_one_renews_the_first_which_keeps_its_id(db: Db) -> None:
    (first,) = await db.trust().add_revocations(
        [revocation(reason="one", created_by="a", created_at_us=1)]
    )
    (second,) = await db.trust().add_revocations(
        [revocation(reason=None, created_by="b", created_at_us=2)]
    )
    assert (second.id, second.reason, second.created_by) == (first.id, None, "b")
    assert second.created_at_us == 2
    assert second.change_number > first.change_number
    assert (await everything(db)).revocations == (second,)


@pytest.mark.parametrize("later", ["first", "second"])
async def test_the_later_cutoff_and_the_later_expiry_stand(db: Db, later: str) -> None:
    early, late = (revocation(issued_before_us=at, expires_at_us=at + 200) for at in (5, 7))
    order = [early, late] if later == "second" else [late, early]
    for given in order:
        (stored,) = await db.trust().add_revocations([given])
    assert (stored.issued_before_us, stored.expires_at_us) == (7, 207)
    mixed = revocation(issued_before_us=9, expires_at_us=1)
    (stored,) = await db.trust().add_revocations([mixed])
    assert (stored.issued_before_us, stored.expires_at_us) == (9, 207)


@pytest.mark.parametrize(
    ("first", "second", "stands"), [("a", None, "a"), (None, "b", "b"), ("a", "b", "a")]
)
async def test_a_subject_that_was_given_stays(
    db: Db, first: str | None, second: str | None, stands: str
) -> None:
    for subject in (first, second):
        (stored,) = await db.trust().add_revocations([revocation(subject=subject)])
    assert stored.subject == stands


async def test_one_value_twice_in_one_call_is_one_revocation(db: Db) -> None:
    stored = await db.trust().add_revocations(
        [revocation(issued_before_us=7), revocation(issued_before_us=5)]
    )
    assert stored[0] == stored[1]
    assert stored[0].issued_before_us == 7
    assert (await everything(db)).revocations == (stored[0],)


async def test_one_that_is_taken_back_is_told_to_those_who_follow(db: Db) -> None:
    (stored,) = await db.trust().add_revocations([revocation()])
    assert await db.trust().delete_revocation(stored.id, deleted_at_us=50) is True
    (found,) = (await db.trust().changes(after=stored.change_number)).revocations
    assert found == replace(stored, deleted_at_us=50, change_number=found.change_number)


async def test_everything_is_all_that_ever_changed(db: Db) -> None:
    trust = db.trust()
    await trust.add_revocations([revocation("kept"), revocation("gone", id="gone")])
    await trust.delete_revocation("gone", deleted_at_us=20)
    await trust.create_service_account(account(id="a"))
    found = await trust.everything()
    assert len(found.revocations) == 2
    assert len(found.service_accounts) == 1
    assert found == await everything(db)
    assert trust.reconnects == 0


async def test_only_what_is_in_force_can_be_taken_back(db: Db) -> None:
    trust = db.trust()
    (stored,) = await trust.add_revocations([revocation(expires_at_us=100)])
    assert await trust.delete_revocation("other", deleted_at_us=50) is False
    assert await trust.delete_revocation(stored.id, deleted_at_us=100) is False
    assert await trust.delete_revocation(stored.id, deleted_at_us=99) is True
    assert await trust.delete_revocation(stored.id, deleted_at_us=99) is False
    (found,) = (await everything(db)).revocations
    assert found.deleted_at_us == 99


async def test_of_one_that_was_taken_back_only_the_id_stays(db: Db) -> None:
    trust = db.trust()
    wrong = revocation(issued_before_us=99, expires_at_us=999, subject="a", reason="wrong")
    (stored,) = await trust.add_revocations([wrong])
    await trust.delete_revocation(stored.id, deleted_at_us=50)
    right = revocation(issued_before_us=40, expires_at_us=400)
    (again,) = await trust.add_revocations([right])
    assert again == replace(right, id=stored.id, change_number=again.change_number)


async def test_what_is_given_is_in_force_whatever_it_says(db: Db) -> None:
    (stored,) = await db.trust().add_revocations([revocation(deleted_at_us=5, change_number=77)])
    assert stored.deleted_at_us is None
    assert stored.change_number == await number_of(db)


async def test_an_id_of_another_revocation_is_refused_and_nothing_is_stored(db: Db) -> None:
    (stored,) = await db.trust().add_revocations([revocation(id="x")])
    with pytest.raises(StorageError):
        await db.trust().add_revocations([revocation("new"), revocation("other", id="x")])
    with pytest.raises(StorageError):
        await db.trust().add_revocations([revocation("p", id="y"), revocation("q", id="y")])
    assert (await everything(db)).revocations == (stored,)


async def test_what_is_used_once_is_stored_with_the_others(db: Db) -> None:
    trust, before = db.trust(), await number_of(db)
    used, others = revocation("jti"), [revocation("a"), revocation("b")]
    assert await trust.use_once(used, others) is True
    found = await trust.changes(after=before)
    assert {r.value for r in found.revocations} == {"jti", "a", "b"}
    assert {r.change_number for r in found.revocations} == {found.number}


@pytest.mark.parametrize("deleted", [False, True])
async def test_what_was_used_is_not_used_again_and_nothing_is_written(
    db: Db, *, deleted: bool
) -> None:
    trust = db.trust()
    used = revocation("jti")
    await trust.use_once(used, [])
    if deleted:
        await trust.delete_revocation(used.id, deleted_at_us=20)
    (first,) = (await everything(db)).revocations
    again = revocation("jti", issued_before_us=99)
    assert await trust.use_once(again, [revocation("a")]) is False
    assert (await everything(db)).revocations == (first,)


async def test_what_is_revoked_with_a_use_renews_what_was_revoked(db: Db) -> None:
    trust = db.trust()
    (stored,) = await trust.add_revocations([revocation("s", issued_before_us=5)])
    assert await trust.use_once(revocation("jti"), [revocation("s", issued_before_us=8)])
    found = {r.value: r for r in (await everything(db)).revocations}
    assert (found["s"].id, found["s"].issued_before_us) == (stored.id, 8)


async def test_of_many_who_use_one_value_at_once_exactly_one_does(new_db: MakeDb) -> None:
    one, other = new_db(), new_db()
    for turn in range(10):
        uses = (
            db.trust().use_once(revocation(f"jti{turn}"), [revocation(f"{turn} {n}")])
            for n in range(6)
            for db in (one, other)
        )
        assert sorted(await asyncio.gather(*uses)) == [False] * 11 + [True]
    # Each winner's other revocation was written, and no loser's.
    assert len((await everything(one)).revocations) == 20
    await asyncio.gather(one.close(), other.close())


async def test_only_what_has_expired_is_forgotten_and_no_number_is_raised(db: Db) -> None:
    trust = db.trust()
    await trust.add_revocations([revocation(f"{at}", expires_at_us=at) for at in (98, 99, 100)])
    before = await number_of(db)
    assert await trust.forget_expired(now_us=100) == 2
    assert await trust.forget_expired(now_us=100) == 0
    found = await everything(db)
    assert ([r.value for r in found.revocations], found.number) == (["100"], before)
