from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from licet.authn.principal import Principal, PrincipalKind


def test_the_owner_is_issuer_alias_and_subject() -> None:
    assert Principal(issuer_alias="corp", issuer=None, subject="a|b").owner == "corp|a|b"


def test_one_subject_of_two_issuers_is_two_owners() -> None:
    owners = {Principal(issuer_alias=a, issuer="i", subject="x").owner for a in ("one", "two")}
    assert len(owners) == 2


def test_a_principal_cannot_be_changed() -> None:
    principal = Principal(issuer_alias="default", issuer=None, subject="alice")
    assert principal.kind is PrincipalKind.USER
    with pytest.raises(FrozenInstanceError):
        principal.subject = "bob"  # type: ignore[misc] # that it is refused is the test


def test_a_principal_can_stand_in_a_set() -> None:
    principals = [
        Principal(issuer_alias="default", issuer=None, subject=subject, claims={"a": [1]})
        for subject in ("alice", "alice", "bob")
    ]
    assert len(set(principals)) == 2


def test_claims_are_not_shown() -> None:
    principal = Principal(
        issuer_alias="default", issuer=None, subject="alice", claims={"email": "a@example.org"}
    )
    assert "example.org" not in repr(principal)
