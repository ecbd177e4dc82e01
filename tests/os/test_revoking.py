"""What is revoked, until when, and whose service accounts end with it; below HTTP."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from licet.authn.issuer import TrustedIssuer
from licet.db.in_memory import InMemoryDb
from licet.db.trust_base import TrustStore
from licet.db.trust_records import RevocationKind, ServiceAccountQuery, ServiceAccountRecord
from licet.errors import InvalidInputError, NotFoundError
from licet.os.revocations import KEPT_SECONDS, LOGOUT_KEPT_SECONDS, Revoke, Revoking
from licet.testing import TokenFactory

KEY = TokenFactory().public_key
NOW = float(int(time.time()))


def revoking(store: TrustStore, *, outlives_seconds: float = 0.0, **issuer: Any) -> Revoking:
    return Revoking(
        store,
        [TrustedIssuer(verification_keys=[KEY], **issuer)],
        outlives_seconds=outlives_seconds,
        now=lambda: NOW,
    )


def account(name: str, **given: Any) -> ServiceAccountRecord:
    return ServiceAccountRecord(
        **{
            "id": f"id-{name}",
            "name": name,
            "scopes": (),
            "token_digest": f"digest-{name}-{given.get('id', '')}",
            "token_prefix": "licet_sa_x",
            "created_at_us": 1_000_000,
            "creator_alias": "default",
            "creator_subject": "boss",
            **given,
        }
    )


@pytest.mark.parametrize(
    ("kind", "seconds"),
    [
        (RevocationKind.TOKEN, KEPT_SECONDS),
        (RevocationKind.SUBJECT, KEPT_SECONDS),
        (RevocationKind.KEY, KEPT_SECONDS),
        (RevocationKind.SESSION, LOGOUT_KEPT_SECONDS),
    ],
)
async def test_it_is_kept_as_long_as_what_is_revoked_can_live(
    kind: RevocationKind, seconds: float
) -> None:
    stored = await revoking(InMemoryDb().trust()).revoke(Revoke(kind=kind, value="x"))
    assert stored.expires_at_us == int((NOW + seconds) * 1_000_000)


@pytest.mark.parametrize("kind", ["token", "subject", "session"])
async def test_where_tokens_have_a_stated_lifetime_no_longer_than_that(kind: str) -> None:
    strict = revoking(InMemoryDb().trust(), max_token_lifetime_seconds=3600, leeway_seconds=30)
    stored = await strict.revoke(Revoke(kind=RevocationKind(kind), value="x"))
    assert stored.expires_at_us == int((NOW + 3600 + 60) * 1_000_000)
    key = await strict.revoke(Revoke(kind=RevocationKind.KEY, value="x"))
    assert key.expires_at_us == int((NOW + KEPT_SECONDS) * 1_000_000)


@pytest.mark.parametrize("kind", ["token", "subject", "session"])
async def test_it_outlasts_what_the_token_may_have_started(kind: str) -> None:
    day_seconds = 86_400.0
    lasting = revoking(
        InMemoryDb().trust(),
        outlives_seconds=30 * day_seconds,
        max_token_lifetime_seconds=3600,
        leeway_seconds=30,
    )
    stored = await lasting.revoke(Revoke(kind=RevocationKind(kind), value="x"))
    assert stored.expires_at_us == int((NOW + 30 * day_seconds + 60) * 1_000_000)
    # Also of one that is known to end before.
    short = Revoke(kind=RevocationKind(kind), value="y", ends_at=NOW + 5)
    assert (await lasting.revoke(short)).expires_at_us == stored.expires_at_us
    # Who says until when has said it.
    said = Revoke(kind=RevocationKind(kind), value="z", expires_at=NOW + 5)
    assert (await lasting.revoke(said)).expires_at_us == int((NOW + 5) * 1_000_000)


@pytest.mark.parametrize(
    ("ends_in", "seconds"), [(7200.0, 7200.0), (None, 3660.0)], ids=["known", "unknown"]
)
async def test_what_ends_with_its_token_is_kept_no_longer(
    ends_in: float | None, seconds: float
) -> None:
    strict = revoking(InMemoryDb().trust(), max_token_lifetime_seconds=3600, leeway_seconds=30)
    ends_at = None if ends_in is None else NOW + ends_in
    wanted = Revoke(kind=RevocationKind.TOKEN, value="x", ends_at=ends_at)
    assert (await strict.revoke(wanted)).expires_at_us == int((NOW + seconds) * 1_000_000)


async def test_a_service_account_outlasts_its_work_too() -> None:
    store = InMemoryDb().trust()
    assert await store.create_service_account(account("robot"))
    seconds = LOGOUT_KEPT_SECONDS + 1
    wanted = Revoke(kind=RevocationKind.SERVICE_ACCOUNT, value="robot")
    stored = await revoking(store, outlives_seconds=seconds).revoke(wanted)
    assert stored.expires_at_us == int((NOW + seconds) * 1_000_000)


async def test_a_subject_takes_along_the_accounts_that_they_made_with_tokens_from_before() -> None:
    store = InMemoryDb().trust()
    later_us = int((NOW + 10) * 1_000_000)
    made = [
        account("mine"),
        account("mine-by-another-clock", created_at_us=later_us),
        account("later", creator_issued_at_us=later_us),
        account("anothers", creator_subject="other"),
        account("partners", creator_alias="partner"),
        account("operators", creator_alias=None, creator_subject=None),
    ]
    for each in made:
        assert await store.create_service_account(each)
    await revoking(store).revoke(Revoke(kind=RevocationKind.SUBJECT, value="boss"))
    found = await store.list_service_accounts(ServiceAccountQuery(include_revoked=True, limit=10))
    revoked = {each.name for each in found.service_accounts if each.revoked_at_us is not None}
    assert revoked == {"mine", "mine-by-another-clock"}


async def test_a_subject_takes_along_the_tokens_that_they_rotated_to() -> None:
    store = InMemoryDb().trust()
    later_us = int((NOW + 10) * 1_000_000)
    boss: dict[str, Any] = {"rotator_alias": "default", "rotator_subject": "boss"}
    was = {f"old_{name}": value for name, value in boss.items()}
    nobody: dict[str, Any] = {"creator_alias": None, "creator_subject": None}
    given = [
        account("current", **nobody, **boss, old_token_digest="before"),
        account("old", **nobody, **was, old_token_digest="taken-over"),
        account("both", **nobody, **boss, **was, old_token_digest="taken-over-first"),
        account("later", **nobody, **boss, rotator_issued_at_us=later_us),
        account("anothers", **nobody, **{**boss, "rotator_subject": "other"}),
    ]
    for each in given:
        assert await store.create_service_account(each)
    await revoking(store).revoke(Revoke(kind=RevocationKind.SUBJECT, value="boss"))
    found = await store.list_service_accounts(ServiceAccountQuery(include_revoked=True, limit=10))
    # The accounts themselves are others', and can be given another token.
    assert all(each.revoked_at_us is None for each in found.service_accounts)
    left = {
        each.name: (each.token_digest, each.old_token_digest) for each in found.service_accounts
    }
    assert left == {
        "current": (None, "before"),
        "old": ("digest-old-", None),
        "both": (None, None),
        "later": ("digest-later-", None),
        "anothers": ("digest-anothers-", None),
    }


async def test_an_earlier_cutoff_takes_along_what_the_later_one_that_stands_does() -> None:
    store = InMemoryDb().trust()
    wanted = Revoke(kind=RevocationKind.SUBJECT, value="boss")
    await revoking(store).revoke(wanted)
    # Made meanwhile at a replica that had not heard of it.
    await store.create_service_account(
        account("mine", creator_issued_at_us=int((NOW - 5) * 1_000_000))
    )
    await revoking(store).revoke(replace(wanted, issued_before=NOW - 100))
    found = await store.get_service_account("id-mine")
    assert found is not None
    assert found.revoked_at_us is not None


async def test_many_accounts_are_looked_through_to_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("licet.os.account_lookup._PAGE", 2)
    store = InMemoryDb().trust()
    for number in range(5):
        await store.create_service_account(account(f"robot-{number}", created_at_us=number + 1))
    await revoking(store).revoke(Revoke(kind=RevocationKind.SUBJECT, value="boss"))
    left = await store.list_service_accounts(ServiceAccountQuery(limit=10))
    assert left.total_count == 0


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        ("subject", "sa:robot", "subject: .* use service_account: 'robot'"),
        ("token", "id-robot", "token_id: .* use service_account: 'id-robot'"),
        ("token", "digest-robot-", "token_id: .* use service_account: 'id-robot'"),
        ("key", "digest-robot-", "key_id: .* use service_account: 'id-robot'"),
        ("key", "old-digest", "key_id: .* use service_account: 'id-robot'"),
    ],
)
async def test_what_would_end_nothing_is_refused(kind: str, value: str, said: str) -> None:
    store = InMemoryDb().trust()
    await store.create_service_account(account("robot", old_token_digest="old-digest"))
    with pytest.raises(InvalidInputError, match=said):
        await revoking(store).revoke(Revoke(kind=RevocationKind(kind), value=value))
    assert (await store.changes(after=0)).revocations == ()


async def test_a_name_means_the_active_account() -> None:
    store = InMemoryDb().trust()
    assert await store.create_service_account(account("robot", id="old", expires_at_us=2_000_000))
    new = account("robot", id="new", created_at_us=3_000_000)
    assert await store.create_service_account(new)
    wanted = Revoke(kind=RevocationKind.SERVICE_ACCOUNT, value="robot")
    assert (await revoking(store).revoke(wanted)).value == "new"
    assert (await revoking(store).revoke(wanted)).value == "old"
    with pytest.raises(NotFoundError):
        await revoking(store).revoke(wanted)
    by_id = Revoke(kind=RevocationKind.SERVICE_ACCOUNT, value="old")
    assert (await revoking(store).revoke(by_id)).value == "old"
