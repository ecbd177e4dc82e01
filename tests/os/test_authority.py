from __future__ import annotations

from licet.authn.principal import Principal
from licet.authn.trust_state import TrustState
from licet.db.trust_records import RevocationKind, RevocationRecord, TrustChanges
from licet.os.authority import Authority

NOW = 1_000.0


def principal(expires_at: float | None = 2_000.0) -> Principal:
    return Principal(
        issuer_alias="default",
        issuer=None,
        subject="olga",
        token_id="t-1",
        issued_at=500.0,
        expires_at=expires_at,
    )


def state_with(*kinds: RevocationKind) -> TrustState:
    state = TrustState(now=lambda: NOW)
    revoked = tuple(
        RevocationRecord(
            id=kind,
            kind=kind,
            issuer_alias="default",
            value={"token": "t-1", "subject": "olga"}[kind],
            issued_before_us=int(NOW * 1_000_000),
            expires_at_us=10**16,
            created_at_us=1,
        )
        for kind in kinds
    )
    state.apply(TrustChanges(number=1, revocations=revoked))
    return state


def test_who_was_not_authenticated_has_none_to_lose() -> None:
    state = state_with(RevocationKind.TOKEN)
    assert Authority(state, ends_with_token=True, now=lambda: 1e12).lost(None) is None


def test_it_is_lost_by_revocation() -> None:
    assert Authority(state_with(), now=lambda: NOW).lost(principal()) is None
    for kind in (RevocationKind.TOKEN, RevocationKind.SUBJECT):
        reason = Authority(state_with(kind), now=lambda: NOW).lost(principal())
        assert reason is not None
        assert "revoked" in reason


def test_it_outlives_the_token_unless_it_shall_not() -> None:
    expired = principal(expires_at=NOW - 10)
    assert Authority(state_with(), now=lambda: NOW).lost(expired) is None
    strict = Authority(
        state_with(), ends_with_token=True, leeways_seconds={"default": 10.0}, now=lambda: NOW
    )
    assert strict.lost(expired) == "the token has expired"
    assert strict.lost(principal(expires_at=NOW - 9)) is None
    assert strict.lost(principal(expires_at=None)) is None
    assert strict.lost(principal()) is None


def test_an_issuer_without_a_stated_leeway_has_none() -> None:
    strict = Authority(state_with(), ends_with_token=True, now=lambda: NOW)
    assert strict.lost(principal(expires_at=NOW)) == "the token has expired"
