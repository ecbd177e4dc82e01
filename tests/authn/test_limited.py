from __future__ import annotations

import pytest

from licet.authn.base import (
    Authenticated,
    Authentication,
    BadCredentials,
    Credentials,
    NoCredentials,
    Unavailable,
)
from licet.authn.failure_limit import FailureLimit
from licet.authn.limited import TOO_MANY, LimitedAuthenticator
from licet.authn.principal import Principal

ALICE = Authenticated(Principal(issuer_alias="default", issuer=None, subject="alice"))
FORGED = BadCredentials("the signature does not match", "token_signature")


class Answering:
    """Answers whatever it is told to."""

    answer: Authentication = FORGED

    async def authenticate(self, credentials: Credentials) -> Authentication:  # noqa: ARG002 - the protocol's
        return self.answer


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def failing(
    times: int, *, client: str = "10.0.0.1"
) -> tuple[LimitedAuthenticator, Answering]:
    """An authenticator at which a client has failed that often; three are allowed."""
    inner = Answering()
    limited = LimitedAuthenticator(inner, limit=FailureLimit(max_failures=3, monotonic=Clock()))
    for _ in range(times):
        await limited.authenticate(Credentials(client=client))
    return limited, inner


async def test_one_failure_too_many_is_told_to_wait() -> None:
    limited, _ = await failing(2)
    assert await limited.authenticate(Credentials(client="10.0.0.1")) is FORGED
    assert await limited.authenticate(Credentials(client="10.0.0.1")) is TOO_MANY
    assert await limited.authenticate(Credentials(client="10.0.0.2")) is FORGED


@pytest.mark.parametrize("answer", [ALICE, NoCredentials(), Unavailable("keys")])
async def test_what_is_no_failure_is_let_through(answer: Authentication) -> None:
    limited, inner = await failing(5)
    inner.answer = answer
    assert await limited.authenticate(Credentials(client="10.0.0.1")) is answer


@pytest.mark.parametrize(
    "code", ["token_expired", "token_revoked", "cross_site", "too_many_failures"]
)
async def test_what_is_no_guess_is_not_counted(code: str) -> None:
    limited, inner = await failing(0)
    inner.answer = BadCredentials("no", code)
    for _ in range(5):
        assert await limited.authenticate(Credentials(client="10.0.0.1")) is inner.answer
    inner.answer = FORGED
    assert await limited.authenticate(Credentials(client="10.0.0.1")) is FORGED


async def test_what_is_only_looked_at_is_not_counted() -> None:
    limited, _ = await failing(0)
    for _ in range(5):
        looked_at = Credentials(client="10.0.0.1", looked_at=True)
        assert await limited.authenticate(looked_at) is FORGED
    assert await limited.authenticate(Credentials(client="10.0.0.1")) is FORGED
