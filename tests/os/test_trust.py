from __future__ import annotations

from typing import Any

import pytest

from licet.errors import ConfigurationError
from licet.os.config import AuthorizationConfig
from licet.os.policy import Policy
from licet.os.trust import KEY_VARIABLE, build_policy
from licet.testing import TokenFactory

TOKENS = TokenFactory()


def policy(environ: dict[str, str] | None = None, **settings: Any) -> Policy:
    return build_policy(
        AuthorizationConfig(**settings),
        os_id="os",
        user_isolation=True,
        cached_tokens=10,
        environ=environ or {},
    )


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({}, KEY_VARIABLE),
        ({"verification_keys": "one"}, "a list"),
        ({"verification_keys": [None]}, "a key is a text"),
        ({"verification_keys": [TOKENS.public_key], "algorithms": []}, "at least one algorithm"),
        ({"verification_keys": [TOKENS.public_key], "admin_scope": ""}, "admin_scope"),
        ({"verification_keys": [TOKENS.public_key], "audience": []}, "audience"),
    ],
)
def test_what_cannot_hold_refuses_to_start(settings: dict[str, Any], complaint: str) -> None:
    if complaint == "audience":
        settings = {**settings, "verify_audience": True}
    with pytest.raises(ConfigurationError, match=complaint):
        policy({KEY_VARIABLE: ""}, **settings)


def test_the_key_of_the_environment_is_added_to_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    other = TokenFactory(fresh_key=True)
    policy({KEY_VARIABLE: other.public_key}, verification_keys=[TOKENS.public_key])
    assert KEY_VARIABLE in caplog.text
    assert "BEGIN" not in caplog.text


def test_a_key_that_is_given_twice_is_one(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    policy({KEY_VARIABLE: TOKENS.public_key + "\n"}, verification_keys=[TOKENS.public_key])
    assert caplog.text == ""
