from __future__ import annotations

import math
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import pytest

from licet.authn.issuer import TrustedIssuer
from licet.authn.key_set import KeySet
from licet.errors import ConfigurationError
from tests.authn.parts import factory

KEY = factory().public_key
SECRET = "s" * 64


def trusted(**rules: Any) -> TrustedIssuer:
    return TrustedIssuer(**{"verification_keys": [KEY], **rules})


def test_a_key_is_enough() -> None:
    issuer = trusted()
    assert issuer.alias == "default"
    assert issuer.allowed_algorithms == ("RS256",)
    assert issuer.leeway_seconds == 10
    assert issuer.user_id_claim == "sub"
    assert issuer.session_id_claim == "session_id"
    assert issuer.scopes_claims == ("scopes", "scope", "scp")
    assert [key.algorithms for key in issuer.keys.keys] == [{"RS256"}]
    assert not issuer.keys.incomplete
    assert (issuer.roles_claim, issuer.audiences) == (None, ())


def test_several_keys_of_several_types_stand_side_by_side() -> None:
    issuer = trusted(
        verification_keys=[KEY, factory("ES256").public_key, SECRET],
        algorithms=["RS256", "PS256", "ES256", "HS512"],
    )
    algorithms = [key.algorithms for key in issuer.keys.keys]
    assert algorithms == [{"RS256", "PS256"}, {"ES256"}, {"HS512"}]


@pytest.mark.parametrize(
    ("rules", "allowed"),
    [
        ({"algorithm": "PS256"}, ("PS256",)),
        ({"algorithms": ["RS256", "PS256"]}, ("RS256", "PS256")),
        ({"algorithm": "ES256", "algorithms": ["RS256"]}, ("RS256",)),
    ],
)
def test_several_algorithms_take_the_place_of_the_one(
    rules: dict[str, Any], allowed: tuple[str, ...]
) -> None:
    assert trusted(**rules).allowed_algorithms == allowed


@pytest.mark.parametrize(
    "rules",
    [
        {"jwks_file": "/etc/keys.json"},
        {"jwks_file": Path("/etc/keys.json")},
        {"jwks_url": "https://id.example/keys"},
        {"discovery": True, "issuer": "https://id.example"},
        {"discovery": "https://id.example/.well-known/x", "issuer": "https://id.example"},
    ],
)
def test_keys_can_come_from_elsewhere(rules: dict[str, Any]) -> None:
    assert trusted(verification_keys=[], **rules).keys == KeySet()
    assert len(trusted(**rules).keys.keys) == 1


@pytest.mark.parametrize(
    ("audience", "audiences"),
    [(None, ()), ("os", ("os",)), (["os", "other"], ("os", "other")), ((), ())],
)
def test_one_audience_or_several(audience: Any, audiences: tuple[str, ...]) -> None:
    assert trusted(audience=audience).audiences == audiences


@pytest.mark.parametrize("name", [None, "groups", "realm_access.roles"])
def test_roles_stand_in_the_claim_of_that_name_unless_another_is_given(name: str | None) -> None:
    issuer = trusted(roles={"analyst": ["agents:read"]}, roles_claim=name)
    assert issuer.roles_claim == (name or "roles")
    assert issuer.roles == {"analyst": ("agents:read",)}


@pytest.mark.parametrize("seconds", [1, 0.5, 86_400])
def test_the_lifetime_of_tokens_can_be_limited(seconds: float) -> None:
    issuer = trusted(max_token_lifetime_seconds=seconds)
    assert issuer.max_token_lifetime_seconds == seconds


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ({"verification_keys": []}, "a trusted issuer needs keys: verification_keys, jwks_file"),
        ({"verification_keys": [], "jwks_file": ""}, "a trusted issuer needs keys"),
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
        ({"jwks_file": ""}, "jwks_file is empty"),
        ({"jwks_url": ""}, "jwks_url is empty"),
        ({"discovery": ""}, "discovery is empty"),
        ({"oidc_client_id": "", "issuer": "i"}, "oidc_client_id is empty"),
        ({"discovery": True}, "discovery needs issuer="),
        ({"oidc_client_id": "us"}, "oidc_client_id needs issuer="),
        (
            {"discovery": True, "issuer": "https://i", "jwks_url": "https://i/keys"},
            "jwks_url or discovery, not both",
        ),
        ({"audience": ["os", ""]}, "an audience is empty"),
        ({"audience": ""}, "an audience is empty"),
        ({"audience": b"os"}, "audience is a list, not one text"),
        ({"audience_claim": ""}, "the name of a claim is empty"),
        ({"max_token_lifetime_seconds": 0}, "a number of seconds above 0"),
        ({"max_token_lifetime_seconds": -1}, "a number of seconds above 0"),
        ({"max_token_lifetime_seconds": math.nan}, "a number of seconds above 0"),
        ({"max_token_lifetime_seconds": math.inf}, "a number of seconds above 0"),
        ({"roles_claim": "groups"}, "roles_claim='groups' needs roles="),
        ({"roles_claim": ""}, "needs roles="),
        ({"roles_claim": "", "roles": {"a": ["x:y"]}}, "roles_claim is empty"),
        ({"roles": {"a": "x:y"}}, r"roles\['a'\] is a list, not one text"),
        ({"dependencies_claims": "tenant"}, "dependencies_claims is a list, not one text"),
        ({"dependencies_claims": [""]}, "the name of a claim is empty"),
        ({"session_state_claims": "tenant"}, "session_state_claims is a list, not one text"),
        ({"session_state_claims": ["a", ""]}, "the name of a claim is empty"),
        ({"verify_audience": True, "audience": []}, "verify_audience needs an audience"),
        ({"leeway_seconds": -1}, "between 0 and 300"),
        ({"leeway_seconds": 301}, "between 0 and 300"),
        ({"leeway_seconds": math.nan}, "between 0 and 300"),
        ({"leeway_seconds": math.inf}, "between 0 and 300"),
        ({"required_claims": "email"}, "required_claims is a list, not one text"),
        ({"required_claims": [""]}, "the name of a claim is empty"),
        ({"user_id_claim": ""}, "the name of a claim is empty"),
        ({"session_id_claim": ""}, "the name of a claim is empty"),
        ({"scopes_claim": ""}, "scopes_claim is empty"),
    ],
)
def test_rules_that_cannot_hold_are_refused(rules: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        trusted(**rules)


@pytest.mark.parametrize("alias", ["a", "corp-1", "https_id.example.org", "A" * 64])
def test_an_alias_is_letters_digits_and_three_signs(alias: str) -> None:
    assert trusted(alias=alias).alias == alias


def test_it_cannot_be_changed_afterwards_also_not_by_a_list_that_was_given() -> None:
    audience, roles = ["os"], {"analyst": ["agents:read"]}
    issuer = trusted(audience=audience, roles=roles)
    audience.append("another")
    roles["analyst"].append("agent_os:admin")
    roles["another"] = ["agent_os:admin"]
    assert issuer.audiences == ("os",)
    assert issuer.roles == {"analyst": ("agents:read",)}
    with pytest.raises(FrozenInstanceError):
        issuer.leeway_seconds = 99  # type: ignore[misc] # that it is refused is the test


def test_it_can_be_copied_with_other_rules() -> None:
    issuer = replace(trusted(roles={"a": ["x:y"]}), alias="other", audience="os")
    assert (issuer.alias, len(issuer.keys.keys), issuer.audiences) == ("other", 1, ("os",))
    assert issuer.roles == {"a": ("x:y",)}


def test_keys_and_secrets_are_not_shown() -> None:
    shown = repr(trusted(verification_keys=[SECRET, KEY], algorithms=["HS256", "RS256"]))
    assert SECRET not in shown
    assert "BEGIN" not in shown
