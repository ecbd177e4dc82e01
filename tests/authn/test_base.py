from __future__ import annotations

import pytest

from licet.authn.base import (
    Authenticated,
    Authentication,
    BadCredentials,
    Credentials,
    NoCredentials,
    Unavailable,
    UnionAuthenticator,
)
from tests.authn.parts import Fixed, alice

ALICE = Authenticated(alice())
BAD = BadCredentials("the token has expired")
UNAVAILABLE = Unavailable("the keys cannot be read")


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([], NoCredentials()),
        ([NoCredentials(), NoCredentials()], NoCredentials()),
        ([NoCredentials(), ALICE], ALICE),
        ([NoCredentials(), BAD, ALICE], BAD),
        ([UNAVAILABLE, ALICE], UNAVAILABLE),
        ([ALICE, BAD], ALICE),
    ],
)
async def test_the_first_that_knows_the_credentials_answers(
    answers: list[Authentication], expected: Authentication
) -> None:
    union = UnionAuthenticator([Fixed(answer) for answer in answers])
    assert await union.authenticate(Credentials()) == expected


async def test_nobody_is_asked_after_an_answer() -> None:
    first, second = Fixed(BAD), Fixed(ALICE)
    presented = Credentials((b"Bearer x",))
    await UnionAuthenticator([first, second]).authenticate(presented)
    assert (first.asked, second.asked) == ([presented], [])


async def test_a_union_can_stand_in_a_union() -> None:
    inner = UnionAuthenticator([Fixed(NoCredentials())])
    assert await UnionAuthenticator([inner, Fixed(ALICE)]).authenticate(Credentials()) is ALICE


def test_credentials_do_not_show_what_they_are() -> None:
    credentials = Credentials((b"Bearer secret", b"Bearer another"), (b"token=secret",))
    assert "secret" not in f"{credentials} {credentials!r}"
    assert "3" in repr(credentials)
