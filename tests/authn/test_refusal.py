from __future__ import annotations

import pytest

from licet.authn.key_set import KeySet
from licet.authn.key_source import StaticKeys
from licet.authn.refusal import (
    HeaderRefusedError,
    KeyNotFoundError,
    KeysUnavailableError,
    SignatureRefusedError,
    TokenExpiredError,
    TokenRefusedError,
)
from licet.errors import LicetError


@pytest.mark.parametrize(
    ("refusal", "code"),
    [
        (TokenRefusedError, "token_refused"),
        (HeaderRefusedError, "authorization_header"),
        (SignatureRefusedError, "token_signature"),
        (TokenExpiredError, "token_expired"),
        (KeyNotFoundError, "token_key"),
        (KeysUnavailableError, "keys_unavailable"),
    ],
)
def test_programs_tell_refusals_apart_by_their_code(
    refusal: type[TokenRefusedError], code: str
) -> None:
    assert refusal.code == code
    assert issubclass(refusal, TokenRefusedError)
    assert issubclass(refusal, LicetError)


def test_where_a_key_is_missing_it_says_whom_to_ask() -> None:
    keys = KeySet()
    source = StaticKeys(keys)
    for refusal in (KeyNotFoundError, KeysUnavailableError):
        error = refusal("no such key", source=source, key_set=keys)
        assert str(error) == "no such key"
        assert (error.source, error.key_set) == (source, keys)
