"""The environment completes the first issuer, says so, and is refused where it would be lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from logging import INFO, WARNING
from pathlib import Path
from typing import Any

import pytest

from licet.authn.issuer import TrustedIssuer
from licet.errors import ConfigurationError
from licet.os.config import AuthorizationConfig
from licet.os.environment import KEY_VARIABLE, VARIABLES, notes_on_environment
from licet.os.issuers import trusted_issuers
from licet.testing import TokenFactory

TOKENS, OTHER = TokenFactory(), TokenFactory(fresh_key=True)
KEYS: dict[str, Any] = {"verification_keys": [TOKENS.public_key]}


def completed(environ: Mapping[str, str], **settings: Any) -> tuple[TrustedIssuer, Sequence[str]]:
    """The first issuer, and what is said of the environment."""
    config = AuthorizationConfig(**settings)
    issuers = trusted_issuers(config, os_id="os", environ=environ)
    notes = notes_on_environment(config, environ)
    for note in notes:
        # What has no effect is said louder.
        assert note.level == (WARNING if "not looked at" in note.text else INFO)
    return issuers[0], [note.text for note in notes]


def test_its_key_is_added_to_the_others() -> None:
    issuer, notes = completed({KEY_VARIABLE: OTHER.public_key}, **KEYS)
    assert len(issuer.keys.keys) == 2
    assert notes == [f"the verification key in {KEY_VARIABLE} is trusted too"]


def test_its_key_may_be_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text(f"\n{OTHER.public_key}\n")
    environ = {f"{KEY_VARIABLE}_FILE": str(tmp_path / "key.pem")}
    issuer, notes = completed(environ, **KEYS)
    assert len(issuer.keys.keys) == 2
    assert notes == [f"the verification key in {KEY_VARIABLE}_FILE is trusted too"]


def test_a_file_that_is_not_there_refuses_to_start() -> None:
    with pytest.raises(ConfigurationError, match=f"{KEY_VARIABLE}_FILE: '/none' cannot be read"):
        completed({f"{KEY_VARIABLE}_FILE": "/none"}, **KEYS)


def test_a_key_that_is_given_twice_is_one() -> None:
    issuer, notes = completed({KEY_VARIABLE: TOKENS.public_key + "\n"}, **KEYS)
    assert len(issuer.keys.keys) == 1
    assert notes == []


def test_it_stands_in_for_what_is_left_out() -> None:
    values = {
        "jwks_file": "keys.json",
        "jwks_url": "https://sso.test/jwks",
        "issuer": "https://sso.test",
        "audience": "api",
    }
    issuer, notes = completed({VARIABLES[name]: value for name, value in values.items()})
    assert {name: getattr(issuer, name) for name in values} == values
    assert notes == [
        f"the first issuer's {name} is taken from {variable}"
        for name, variable in VARIABLES.items()
    ]


def test_the_program_stands_above_it_and_it_is_said() -> None:
    environ = {"JWT_ISSUER": "https://elsewhere.test", "JWT_AUDIENCE": "api"}
    issuer, notes = completed(environ, **KEYS, issuer="https://sso.test", audience="api")
    assert issuer.issuer == "https://sso.test"
    assert notes == ["JWT_ISSUER is not looked at: issuer is set in the program"]


def test_a_key_set_of_the_environment_does_not_stand_beside_discovery() -> None:
    environ = {"JWT_JWKS_URL": "https://elsewhere.test/jwks"}
    issuer, notes = completed(environ, issuer="https://sso.test", discovery=True)
    assert issuer.jwks_url is None
    assert notes == ["JWT_JWKS_URL is not looked at: jwks_url is set in the program"]


def test_empty_variables_say_nothing() -> None:
    issuer, notes = completed({**dict.fromkeys(VARIABLES.values(), " "), KEY_VARIABLE: ""}, **KEYS)
    assert (issuer.issuer, notes) == (None, [])


@pytest.mark.parametrize("variable", ["JWT_ISSUER", "JWT_AUDIENCE"])
def test_what_would_hold_for_nobody_refuses_to_start(variable: str) -> None:
    second = TrustedIssuer(alias="second", verification_keys=[OTHER.public_key])
    with pytest.raises(ConfigurationError, match=f"{variable} is set in the environment.*Unset it"):
        completed({variable: "https://sso.test"}, issuers=[second])
    issuer, notes = completed({variable: " "}, issuers=[second])
    assert (issuer.alias, notes) == ("second", [])


def test_what_completes_a_first_issuer_beside_others_is_its_alone() -> None:
    second = TrustedIssuer(
        alias="second", verification_keys=[OTHER.public_key], issuer="https://b.test"
    )
    environ = {"JWT_ISSUER": "https://a.test", "JWT_AUDIENCE": "api"}
    config = AuthorizationConfig(**KEYS, issuers=[second])
    first, other = trusted_issuers(config, os_id="os", environ=environ)
    assert (first.issuer, first.audiences) == ("https://a.test", ("api",))
    assert (other.issuer, other.audiences) == ("https://b.test", ("os",))
