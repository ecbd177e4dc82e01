from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from licet.db.in_memory import InMemoryDb
from licet.db.trust_base import TrustStore
from licet.db.trust_records import ServiceAccountRecord
from licet.errors import NotFoundError
from licet.os.account_lookup import every_account, find_account

NOW = 1_000_000

Add = Callable[..., Awaitable[None]]


@pytest.fixture
def store() -> TrustStore:
    return InMemoryDb().trust()


@pytest.fixture
def add(store: TrustStore) -> Add:
    """Put an account in; times are epoch seconds."""

    async def put(id: str, *, name: str = "bot", made: int, ends: int | None = None) -> None:
        account = ServiceAccountRecord(
            id=id,
            name=name,
            scopes=(),
            token_digest=id,
            token_prefix="licet_sa_",
            created_at_us=made * 1_000_000,
            expires_at_us=None if ends is None else ends * 1_000_000,
        )
        assert await store.create_service_account(account)

    return put


async def found(store: TrustStore, name_or_id: str) -> str:
    return (await find_account(store, name_or_id, now=NOW)).id


async def test_an_account_is_found_by_name_and_by_id(store: TrustStore, add: Add) -> None:
    await add("1", made=1)
    await add("2", name="other", made=2)
    assert await found(store, "bot") == "1"
    assert await found(store, "2") == "2"


async def test_the_active_account_of_a_name_is_found_not_an_expired_one(
    store: TrustStore, add: Add
) -> None:
    await add("old", made=1, ends=2)
    await add("new", made=3)
    assert await found(store, "bot") == "new"


async def test_of_expired_ones_the_latest_is_found(store: TrustStore, add: Add) -> None:
    await add("older", made=1, ends=2)
    await add("later", made=3, ends=NOW)
    assert await found(store, "bot") == "later"


async def test_a_revoked_one_is_found_by_its_id_alone(store: TrustStore, add: Add) -> None:
    await add("1", made=1)
    await store.revoke_service_account("1", revoked_at_us=2)
    assert await found(store, "1") == "1"
    with pytest.raises(NotFoundError, match="Service account 'bot' not found"):
        await found(store, "bot")


async def test_all_accounts_are_listed_over_any_number_of_pages(
    store: TrustStore, add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("licet.os.account_lookup._PAGE", 2)
    for number in range(5):
        await add(str(number), name=f"bot-{number}", made=number)
    await store.revoke_service_account("4", revoked_at_us=9)
    assert [account.id async for account in every_account(store)] == ["3", "2", "1", "0"]
    with_revoked = every_account(store, include_revoked=True)
    assert [account.id async for account in with_revoked] == ["4", "3", "2", "1", "0"]


async def test_no_accounts_are_none(store: TrustStore) -> None:
    assert [account async for account in every_account(store)] == []
