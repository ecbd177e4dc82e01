from __future__ import annotations

import pytest

from licet.authn.base import (
    Authenticated,
    Authentication,
    BadCredentials,
    Credentials,
    NoCredentials,
    UnionAuthenticator,
)
from licet.authn.principal import Principal

ALICE = Authenticated(Principal(issuer_alias="default", issuer=None, subject="alice"))
BAD = BadCredentials("the token has expired")


class Fixed:
    """Always gives one answer, and remembers what it was asked."""

    def __init__(self, answer: Authentication) -> None:
        self.answer = answer
        self.asked: list[Credentials] = []

    def authenticate(self, credentials: Credentials) -> Authentication:
        self.asked.append(credentials)
        return self.answer


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([], NoCredentials()),
        ([NoCredentials(), NoCredentials()], NoCredentials()),
        ([NoCredentials(), ALICE], ALICE),
        ([NoCredentials(), BAD, ALICE], BAD),
        ([ALICE, BAD], ALICE),
    ],
)
def test_the_first_that_knows_the_credentials_answers(
    answers: list[Authentication], expected: Authentication
) -> None:
    union = UnionAuthenticator([Fixed(answer) for answer in answers])
    assert union.authenticate(Credentials()) == expected


def test_nobody_is_asked_after_an_answer() -> None:
    first, second = Fixed(BAD), Fixed(ALICE)
    presented = Credentials((b"Bearer x",))
    UnionAuthenticator([first, second]).authenticate(presented)
    assert (first.asked, second.asked) == ([presented], [])


def test_a_union_can_stand_in_a_union() -> None:
    inner = UnionAuthenticator([Fixed(NoCredentials())])
    assert UnionAuthenticator([inner, Fixed(ALICE)]).authenticate(Credentials()) is ALICE


def test_credentials_do_not_show_what_they_are() -> None:
    credentials = Credentials((b"Bearer secret", b"Bearer another"))
    assert "secret" not in f"{credentials} {credentials!r}"
    assert "2" in repr(credentials)
