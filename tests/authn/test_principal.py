from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licet.authn.issuer import _ALIAS
from licet.authn.principal import SERVICE_ALIAS, Principal, PrincipalKind, owner_key
from tests.authn.parts import alice

aliases = st.from_regex(_ALIAS, fullmatch=True) | st.just(SERVICE_ALIAS)


def test_the_owner_is_issuer_alias_and_subject() -> None:
    assert alice(issuer_alias="corp", subject="a|b").owner == "corp|a|b"


def test_one_subject_of_two_issuers_is_two_owners() -> None:
    owners = {Principal(issuer_alias=a, issuer="i", subject="x").owner for a in ("one", "two")}
    assert len(owners) == 2


@given(aliases, st.text(), aliases, st.text())
def test_two_pairs_never_are_one_owner(
    alias: str, subject: str, other_alias: str, other: str
) -> None:
    same = (alias, subject) == (other_alias, other)
    assert (owner_key(alias, subject) == owner_key(other_alias, other)) is same


def test_no_issuer_can_have_the_alias_of_service_accounts() -> None:
    assert not _ALIAS.fullmatch(SERVICE_ALIAS)


def test_a_principal_cannot_be_changed() -> None:
    principal = alice()
    assert principal.kind is PrincipalKind.USER
    with pytest.raises(FrozenInstanceError):
        principal.subject = "bob"  # type: ignore[misc] # that it is refused is the test


def test_a_principal_can_stand_in_a_set() -> None:
    principals = [
        alice(subject=subject, claims={"a": [1]}, dependencies={"b": []}, session_state={"c": {}})
        for subject in ("alice", "alice", "bob")
    ]
    assert len(set(principals)) == 2


def test_claims_are_not_shown() -> None:
    email = {"email": "a@example.org"}
    principal = alice(claims=email, dependencies=email, session_state=email)
    assert "example.org" not in repr(principal)
