from __future__ import annotations

from typing import Any

import pytest

from licet.authn.issuer import TrustedIssuer
from licet.authn.key_source import KeySource
from licet.authn.key_sources import key_source
from licet.errors import ConfigurationError
from licet.os.config import AuthorizationConfig
from licet.os.environment import KEY_VARIABLE
from licet.os.issuers import trusted_issuers
from licet.os.policy import build_policy, check_against_routes
from licet.testing import TokenFactory

TOKENS = TokenFactory()
OTHER = TokenFactory(fresh_key=True)
KEYS: dict[str, Any] = {"verification_keys": [TOKENS.public_key]}


def trusted(environ: dict[str, str] | None = None, /, **settings: Any) -> tuple[TrustedIssuer, ...]:
    return trusted_issuers(AuthorizationConfig(**settings), os_id="os", environ=environ or {})


def sources(environ: dict[str, str], **settings: Any) -> list[KeySource]:
    return [key_source(issuer) for issuer in trusted(environ, **settings)]


def second(**settings: Any) -> TrustedIssuer:
    given = {"alias": "second", "verification_keys": [OTHER.public_key], **settings}
    return TrustedIssuer(**given)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({}, KEY_VARIABLE),
        ({"verification_keys": "one"}, "a list"),
        ({"verification_keys": [None]}, "a key is a text"),
        ({**KEYS, "algorithms": []}, "at least one algorithm"),
        ({**KEYS, "audience": [], "verify_audience": True}, "audience"),
        ({"discovery": True}, "discovery needs issuer"),
        (
            {"jwks_url": "https://a.test/jwks", "discovery": True, "issuer": "https://a.test"},
            "not both",
        ),
        ({**KEYS, "oidc_client_id": "us"}, "oidc_client_id needs issuer"),
        ({**KEYS, "roles_claim": "groups"}, "needs roles="),
        ({"jwks_url": "http://sso.example/jwks"}, "https"),
        ({"jwks_file": "/nowhere/jwks.json"}, "/nowhere/jwks.json"),
    ],
)
def test_what_cannot_hold_refuses_to_start(settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        sources({KEY_VARIABLE: ""}, **settings)


class TestSeveralIssuers:
    def test_each_takes_the_servers_id_as_audience_unless_it_says_another(self) -> None:
        first, other = trusted(
            **KEYS, issuer="https://a.test", issuers=[second(issuer="https://b.test", audience="b")]
        )
        assert (first.alias, first.audiences) == ("default", ("os",))
        assert (other.alias, other.audiences) == ("second", ("b",))

    def test_to_ask_for_an_audience_is_to_ask_for_the_servers_id(self) -> None:
        first, other = trusted(
            **KEYS,
            issuer="https://a.test",
            verify_audience=True,
            issuers=[second(issuer="https://b.test", verify_audience=True)],
        )
        assert (first.audiences, other.audiences) == (("os",), ("os",))

    @pytest.mark.parametrize(
        "lost", [{"audience": "api"}, {"verify_audience": True}, {"roles": {"a": ["agents:run"]}}]
    )
    def test_what_is_said_of_an_issuer_without_keys_is_not_lost(self, lost: dict[str, Any]) -> None:
        (name,) = lost
        with pytest.raises(ConfigurationError, match=f"{name} is set for an issuer without keys"):
            trusted(**lost, issuers=[second()])

    def test_one_of_the_list_is_enough(self) -> None:
        (issuer,) = trusted(issuers=[second()])
        assert issuer.alias == "second"

    @pytest.mark.parametrize(
        ("first", "others", "complaint"),
        [
            ({**KEYS}, [second(issuer="https://b.test")], "alias 'default' does not say"),
            ({**KEYS, "issuer": "https://a.test"}, [second()], "alias 'second' does not say"),
            (
                {**KEYS, "issuer": "https://a.test"},
                [second(issuer="https://a.test")],
                "two issuers are 'https://a.test'",
            ),
            (
                {**KEYS, "issuer": "https://a.test"},
                [second(issuer="https://b.test", alias="default")],
                "alias 'default': their users would be one",
            ),
        ],
    )
    def test_they_cannot_be_taken_for_each_other(
        self, first: dict[str, Any], others: list[TrustedIssuer], complaint: str
    ) -> None:
        with pytest.raises(ConfigurationError, match=complaint):
            trusted(**first, issuers=others)


class TestRoles:
    @pytest.mark.parametrize("scope", ["agents:fly", "nothing", "agents:a:b:run"])
    def test_a_role_whose_scope_grants_nothing_refuses_to_start(self, scope: str) -> None:
        config = AuthorizationConfig(**KEYS, roles={"analyst": ["agents:read", scope]})
        issuers = trusted_issuers(config, os_id="os", environ={})
        policy = build_policy(config, user_isolation=True)
        with pytest.raises(ConfigurationError, match=r"roles\['analyst'\].*grants nothing"):
            check_against_routes(policy, (), issuers=issuers)

    def test_a_role_may_stand_for_the_scopes_of_own_routes_and_the_administrators(self) -> None:
        config = AuthorizationConfig(
            **KEYS,
            roles={"boss": ["root", "reports:read"]},
            admin_scope="root",
            scope_mappings={"GET /reports": ["reports:read"]},
        )
        issuers = trusted_issuers(config, os_id="os", environ={})
        policy = build_policy(config, user_isolation=True)
        check_against_routes(policy, (), issuers=issuers)
        assert policy.admin_scope == "root"

    def test_there_is_always_an_administrator(self) -> None:
        config = AuthorizationConfig(**KEYS, admin_scope="")
        with pytest.raises(ConfigurationError, match="admin_scope"):
            build_policy(config, user_isolation=True)
