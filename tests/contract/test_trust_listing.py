"""Lists of revocations and service accounts: which, in what order, which page."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import pytest

from licet.db.base import Db
from licet.db.trust_records import (
    RevocationKind,
    RevocationPage,
    RevocationQuery,
    ServiceAccountQuery,
)
from tests.contract.trust_rows import account, revocation

NOW = RevocationQuery(now_us=100)
Sort = Literal["created_at", "name", "last_used_at", "expires_at"]


async def test_revocations_are_listed_while_in_force_the_latest_first(db: Db) -> None:
    trust = db.trust()
    given = [
        revocation("old", created_at_us=1),
        revocation("new", created_at_us=3),
        revocation("b", id="b", created_at_us=2),
        revocation("a", id="a", created_at_us=2),
        revocation("expired", expires_at_us=100),
        revocation("back", id="back"),
    ]
    await trust.add_revocations(given)
    await trust.delete_revocation("back", deleted_at_us=50)
    page = await trust.list_revocations(NOW)
    assert [r.value for r in page.revocations] == ["new", "b", "a", "old"]
    assert page.total_count == 4
    assert page.revocations[0].change_number > 0


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (replace(NOW, kind=RevocationKind.SUBJECT), {"s"}),
        (replace(NOW, issuer_alias="other"), {"o"}),
        (replace(NOW, value="t"), {"t"}),
        (replace(NOW, kind=RevocationKind.SUBJECT, value="t"), set()),
        (replace(NOW, value="a\0"), set()),
        (replace(NOW, issuer_alias="\ud800"), set()),
    ],
)
async def test_revocations_are_filtered(db: Db, query: RevocationQuery, expected: set[str]) -> None:
    given = [
        revocation("t"),
        revocation("s", kind=RevocationKind.SUBJECT),
        revocation("o", issuer_alias="other"),
    ]
    await db.trust().add_revocations(given)
    page = await db.trust().list_revocations(query)
    assert {r.value for r in page.revocations} == expected
    assert page.total_count == len(expected)


async def test_pages_of_revocations_hold_each_once(db: Db) -> None:
    await db.trust().add_revocations([revocation(f"{n}") for n in range(7)])
    pages = [
        await db.trust().list_revocations(replace(NOW, page=number, limit=3))
        for number in (1, 2, 3, 4)
    ]
    assert [len(page.revocations) for page in pages] == [3, 3, 1, 0]
    assert {page.total_count for page in pages} == {7}
    assert len({r.value for page in pages for r in page.revocations}) == 7
    for odd in (replace(NOW, limit=0), replace(NOW, limit=-1), replace(NOW, page=2**62, limit=9)):
        assert await db.trust().list_revocations(odd) == RevocationPage(
            revocations=(), total_count=7
        )


async def ids(db: Db, **query: Any) -> str:
    page = await db.trust().list_service_accounts(ServiceAccountQuery(**query))
    assert page.total_count == len(page.service_accounts)
    return " ".join(found.id for found in page.service_accounts)


@pytest.mark.parametrize(
    ("sort_by", "ascending", "descending"),
    [
        ("created_at", "a c b d", "d b a c"),
        ("name", "d c b a", "a b c d"),
        ("last_used_at", "b a c d", "a b c d"),
        ("expires_at", "d c a b", "c d a b"),
    ],
)
async def test_accounts_are_sorted_with_what_has_no_value_last(
    db: Db, sort_by: Sort, ascending: str, descending: str
) -> None:
    for given in (
        account("z", id="a", created_at_us=1, last_used_at_us=9),
        account("y", id="b", created_at_us=2, last_used_at_us=8),
        account("x", id="c", created_at_us=1, expires_at_us=99),
        account("w", id="d", created_at_us=3, expires_at_us=98),
    ):
        await db.trust().create_service_account(given)
    assert await ids(db, sort_by=sort_by, descending=False) == ascending
    assert await ids(db, sort_by=sort_by, descending=True) == descending


async def test_revoked_accounts_are_listed_only_when_asked_for(db: Db) -> None:
    trust = db.trust()
    for given in (account("a", id="a"), account("b", id="b"), account("c", id="c")):
        await trust.create_service_account(given)
    await trust.revoke_service_account("b", revoked_at_us=20)
    assert await ids(db, sort_by="name", descending=False) == "a c"
    assert await ids(db, sort_by="name", descending=False, include_revoked=True) == "a b c"


@pytest.mark.parametrize(
    ("wanted", "expected"), [({"a", "c", "x"}, "a c"), (set(), ""), ({"a\0", "\ud800"}, "")]
)
async def test_accounts_of_certain_ids_can_be_listed(
    db: Db, wanted: set[str], expected: str
) -> None:
    for name in ("a", "b", "c"):
        await db.trust().create_service_account(account(name, id=name))
    assert await ids(db, ids=frozenset(wanted), sort_by="name", descending=False) == expected


async def test_pages_of_accounts_hold_each_once(db: Db) -> None:
    for n in range(7):
        await db.trust().create_service_account(account(f"{n}"))
    pages = [
        await db.trust().list_service_accounts(ServiceAccountQuery(page=number, limit=3))
        for number in (1, 2, 3, 4)
    ]
    assert [len(page.service_accounts) for page in pages] == [3, 3, 1, 0]
    assert {page.total_count for page in pages} == {7}
    assert len({a.id for page in pages for a in page.service_accounts}) == 7
