"""Who is revoked leaves nothing behind that goes on, however they arrange it beforehand."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.attack.forge import claims, forged
from tests.attack.robots import TOKENS, Robot, admin, robot, sent
from tests.attack.target import SCOPE, Answer, Target, Watch, pieces_of, target
from tests.support.world import World

ACCOUNTS, REVOCATIONS = "/service-accounts", "/revocations"


@pytest.fixture(scope="module")
def attacked() -> Iterator[Target]:
    with target(World(tokens=TOKENS)) as made:
        yield made


@pytest.fixture
def watch(caplog: pytest.LogCaptureFixture) -> Watch:
    return Watch(caplog, pieces_of(TOKENS.public_key))


def insider(subject: str, **changed: Any) -> bytes:
    """A token that may do all that is needed, issued a while ago."""
    rights = ["service_accounts:write", SCOPE]
    return forged(TOKENS, claims(sub=subject, scopes=rights, **changed))


def revoke(attacked: Target, **what: Any) -> str:
    answer = sent(attacked, admin(), REVOCATIONS, what)
    assert answer.status == 201, answer
    return str(json.loads(answer.body)["id"])


def rotate(attacked: Target, token: bytes, account: str, **how: Any) -> Answer:
    return sent(attacked, token, f"{ACCOUNTS}/{account}/rotate", how)


def rotated(attacked: Target, token: bytes, account: Robot, **how: Any) -> str:
    answer = rotate(attacked, token, account.id, **how)
    assert answer.status == 201, answer
    return str(json.loads(answer.body)["token"])


def listed(attacked: Target, account: Robot) -> dict[str, Any]:
    answer = sent(attacked, admin(), f"{ACCOUNTS}?limit=100&include_revoked=true", {}, "GET")
    (found,) = [each for each in json.loads(answer.body)["data"] if each["id"] == account.id]
    assert isinstance(found, dict)
    return found


def closed(attacked: Target, watch: Watch, token: str, reason: str = "") -> None:
    watch.refused(attacked, lambda: attacked.knock(token), sent=token, reason=reason)


def opened(attacked: Target, watch: Watch, token: str) -> None:
    watch.let_in(attacked, lambda: attacked.knock(token))


class TestRotatingAnothersAccount:
    def test_the_token_ends_with_whoever_has_it_and_the_account_goes_on(
        self, attacked: Target, watch: Watch
    ) -> None:
        account = robot(attacked)
        long = {"overlap_seconds": 2_592_000, "expires_in_days": 3650}
        taken = rotated(attacked, insider("mallory"), account, **long)
        opened(attacked, watch, taken)
        assert listed(attacked, account)["rotated_by"] == "mallory"
        assert listed(attacked, account)["rotated_by_issuer"] == "default"
        made = revoke(attacked, subject="mallory")
        closed(attacked, watch, taken)
        # Who uses the account rightly goes on, and gets a token that no one else has.
        opened(attacked, watch, account.token)
        fresh = rotated(attacked, admin(), account, overlap_seconds=60)
        for token in (account.token, fresh):
            opened(attacked, watch, token)
        # For good: also when the revocation is taken back, or has expired.
        where = f"{REVOCATIONS}/{made}"
        assert sent(attacked, admin(), where, {}, "DELETE").status == 204
        closed(attacked, watch, taken)

    def test_a_token_that_was_rotated_away_since_ends_too(
        self, attacked: Target, watch: Watch
    ) -> None:
        account = robot(attacked)
        taken = rotated(attacked, insider("mia"), account)
        fresh = rotated(attacked, admin(), account, overlap_seconds=2_592_000)
        revoke(attacked, subject="mia")
        closed(attacked, watch, taken)
        opened(attacked, watch, fresh)

    def test_a_token_of_before_is_good_if_its_rotator_was_revoked_before(
        self, attacked: Target, watch: Watch
    ) -> None:
        account, now = robot(attacked), time.time()
        revoke(attacked, subject="mo", issued_before=now - 100)
        token = rotated(attacked, insider("mo", iat=now - 50), account)
        opened(attacked, watch, token)
