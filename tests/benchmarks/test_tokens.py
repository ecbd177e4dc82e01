from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks.suites.tokens import compared, own_verifier, peer_verify, signed_tokens
from licet.testing import TokenFactory

FACTORY = TokenFactory()


@pytest.fixture
def untraced() -> Iterator[None]:
    """Coverage costs our side, not the other; and what tests left costs each collection."""
    trace = sys.gettrace()
    sys.settrace(None)
    gc.freeze()
    yield
    gc.unfreeze()
    sys.settrace(trace)


@pytest.mark.usefixtures("untraced")
def test_a_token_costs_at_most_half_as_much_again_as_with_pyjwt_alone() -> None:
    one, two, _ = compared(FACTORY, signed_tokens(FACTORY, 300), rounds=7)
    assert not one.missed, one
    assert not two.missed, two


def test_both_sides_look_at_the_same() -> None:
    token = FACTORY.token("alice", iss="https://id.example", aud="bench-os", jti="t-1")
    own, peer = own_verifier(FACTORY).verify, peer_verify(FACTORY)
    two = own_verifier(FACTORY, issuers=2).verify
    assert own(token.encode()).subject == two(token.encode()).subject == "alice"
    assert peer(token.encode())
    for changed in ({"iss": "x"}, {"aud": "x"}, {"jti": None}, {"exp": 1}, {"sub": None}):
        claims: dict[str, Any] = {
            "iss": "https://id.example",
            "aud": "bench-os",
            "jti": "t-1",
            **changed,
        }
        refused = FACTORY.token("alice", **claims).encode()
        for verify in (own, two, peer):
            with pytest.raises(Exception, match=r"missing|expired|issuer|audience|Audience"):
                verify(refused)
