from __future__ import annotations

import math
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest

from licet.authn.issuer import TrustedIssuer
from licet.errors import ConfigurationError
from tests.authn.parts import factory

KEY = factory().public_key
SECRET = "s" * 64


def trusted(**rules: Any) -> TrustedIssuer:
    return TrustedIssuer(**{"verification_keys": [KEY], **rules})


def test_a_key_is_enough() -> None:
    issuer = trusted()
    assert issuer.alias == "default"
    assert issuer.algorithms == ("RS256",)
    assert issuer.leeway_seconds == 10
    assert issuer.subject_claim == "sub"
    assert issuer.session_id_claim == "session_id"
    assert issuer.scopes_claims == ("scopes", "scope", "scp")
    assert [key.algorithms for key in issuer.keys] == [{"RS256"}]


def test_several_keys_of_several_types_stand_side_by_side() -> None:
    issuer = trusted(
        verification_keys=[KEY, factory("ES256").public_key, SECRET],
        algorithms=["RS256", "PS256", "ES256", "HS512"],
    )
    assert [key.algorithms for key in issuer.keys] == [{"RS256", "PS256"}, {"ES256"}, {"HS512"}]


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ({"verification_keys": []}, "at least one verification key"),
        ({"verification_keys": KEY}, "verification_keys is a list, not one text"),
        ({"verification_keys": KEY.encode()}, "verification_keys is a list, not one text"),
        ({"verification_keys": [KEY, "short"]}, r"verification_keys\[1\]: a shared secret"),
        ({"verification_keys": [KEY, SECRET]}, r"verification_keys\[1\] can serve HS256"),
        ({"algorithms": []}, "at least one algorithm"),
        ({"algorithms": "RS256"}, "algorithms is a list, not one text"),
        ({"algorithms": ["none"]}, "algorithm 'none' is not taken; these are: ES256, ES384"),
        ({"algorithms": ["rs256"]}, "algorithm 'rs256' is not taken"),
        ({"algorithms": ["RS256", "ES256K"]}, "algorithm 'ES256K' is not taken"),
        ({"algorithms": ["HS256"]}, "can serve PS256"),
        ({"alias": ""}, "issuer alias ''"),
        ({"alias": "a|b"}, r"issuer alias 'a\|b'"),
        ({"alias": "a\n"}, "issuer alias"),
        ({"alias": "ä"}, "issuer alias"),
        ({"alias": "a" * 65}, "issuer alias"),
        ({"issuer": ""}, "issuer is empty"),
        ({"audiences": "os"}, "audiences is a list, not one text"),
        ({"audiences": ["os", ""]}, "an audience is empty"),
        ({"verify_audience": True}, "verify_audience needs an audience"),
        ({"leeway_seconds": -1}, "between 0 and 300"),
        ({"leeway_seconds": 301}, "between 0 and 300"),
        ({"leeway_seconds": math.nan}, "between 0 and 300"),
        ({"leeway_seconds": math.inf}, "between 0 and 300"),
        ({"required_claims": "email"}, "required_claims is a list, not one text"),
        ({"required_claims": [""]}, "the name of a claim is empty"),
        ({"subject_claim": ""}, "the name of a claim is empty"),
        ({"session_id_claim": ""}, "the name of a claim is empty"),
        ({"scopes_claims": "scp"}, "scopes_claims is a list, not one text"),
        ({"scopes_claims": []}, "scopes_claims is empty"),
        ({"scopes_claims": [""]}, "the name of a claim is empty"),
    ],
)
def test_rules_that_cannot_hold_are_refused(rules: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        trusted(**rules)


@pytest.mark.parametrize("alias", ["a", "corp-1", "https_id.example.org", "A" * 64])
def test_an_alias_is_letters_digits_and_three_signs(alias: str) -> None:
    assert trusted(alias=alias).alias == alias


def test_it_cannot_be_changed_afterwards_also_not_by_a_list_that_was_given() -> None:
    audiences = ["os"]
    issuer = trusted(audiences=audiences)
    audiences.append("another")
    assert issuer.audiences == ("os",)
    with pytest.raises(FrozenInstanceError):
        issuer.leeway_seconds = 99  # type: ignore[misc] # that it is refused is the test


def test_it_can_be_copied_with_other_rules() -> None:
    issuer = replace(trusted(), alias="other")
    assert (issuer.alias, len(issuer.keys)) == ("other", 1)


def test_keys_and_secrets_are_not_shown() -> None:
    shown = repr(trusted(verification_keys=[SECRET, KEY], algorithms=["HS256", "RS256"]))
    assert SECRET not in shown
    assert "BEGIN" not in shown
