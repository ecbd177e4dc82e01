"""Tokens of service accounts: guessed, worn out, or written otherwise."""

from __future__ import annotations

import base64
import itertools
import json
import secrets
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from licet.authn.service_accounts import NewToken, new_token
from licet.db.sqlite import SqliteDb
from tests.attack.forge import claims, forged
from tests.attack.robots import TOKENS, admin, create, robot, sent, stored
from tests.attack.target import SCOPE, Target, Watch, pieces_of, target
from tests.support.live import status_of
from tests.support.world import World

UNKNOWN = "invalid or expired service account token"
# Each test has clients of its own: all of 127.0.0.0/8 is this machine.
CLIENTS = (f"127.0.{number // 200 + 1}.{number % 200 + 1}" for number in itertools.count())


@pytest.fixture(scope="module")
def attacked() -> Iterator[Target]:
    with target(World(tokens=TOKENS)) as made:
        yield made


@pytest.fixture
def client() -> str:
    return next(CLIENTS)


@pytest.fixture
def watch(caplog: pytest.LogCaptureFixture) -> Watch:
    return Watch(caplog, pieces_of(TOKENS.public_key))


def guess() -> bytes:
    return b"licet_sa_" + base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=")


def refused(attacked: Target, watch: Watch, token: bytes | str, reason: str, via: str) -> None:
    watch.refused(attacked, lambda: attacked.knock(token, via=via), sent=token, reason=reason)


def test_a_good_token_gets_in(attacked: Target, watch: Watch, client: str) -> None:
    made = robot(attacked)
    for _ in range(3):
        watch.let_in(attacked, lambda: attacked.knock(made.token, via=client))
    fresh = stored(attacked).text
    watch.let_in(attacked, lambda: attacked.knock(fresh, via=client))


def test_a_websocket_takes_it_too(attacked: Target, watch: Watch) -> None:
    made = robot(attacked)
    watch.let_in(attacked, lambda: attacked.shake(b"Authorization: Bearer " + made.token.encode()))
    weak = robot(attacked, "agents:read").token
    for token, reason, status in (
        (guess(), UNKNOWN, 401),
        (made.token.encode()[:-1], UNKNOWN, 401),
        (weak.encode(), f"Required scope(s): {SCOPE}", 403),
    ):
        watch.refused(
            attacked,
            lambda t=token: attacked.shake(b"Authorization: Bearer " + t),  # type: ignore[misc]  # bound now
            sent=token,
            reason=reason,
            statuses={status},
        )


class TestGuessing:
    def test_who_has_failed_twenty_times_waits(
        self, attacked: Target, watch: Watch, client: str
    ) -> None:
        made = robot(attacked)
        for _ in range(20):
            refused(attacked, watch, guess(), UNKNOWN, client)
        for _ in range(3):
            token = guess()
            answer = watch.refused(
                attacked,
                lambda t=token: attacked.knock(t, via=client),  # type: ignore[misc]  # bound now
                sent=token,
                reason="Too many failed authentication attempts",
                statuses={429},
            )
            assert int(answer.headers["retry-after"]) > 0
        # Good tokens of the same client are good, and other clients have not failed.
        watch.let_in(attacked, lambda: attacked.knock(made.token, via=client))
        watch.let_in(attacked, lambda: attacked.knock(forged(TOKENS, claims()), via=client))
        refused(attacked, watch, guess(), UNKNOWN, next(CLIENTS))

    def test_who_guesses_many_at_once_has_no_more_guesses(
        self, client: str, tmp_path: Path
    ) -> None:
        # A database that takes its time.
        with target(World(tokens=TOKENS, db=SqliteDb(tmp_path / "os.db"))) as attacked:
            where = (attacked.server.host, attacked.server.port)
            links = [socket.create_connection(where, 20, (client, 0)) for _ in range(100)]
            for link in links:
                head = b"GET /vault HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                link.sendall(head + b"Authorization: Bearer " + guess())
            # All are there; their last line brings them in at one moment.
            for link in links:
                link.sendall(b"\r\n\r\n")
            statuses = []
            for link in links:
                with link:
                    statuses.append(status_of(link.recv(65536)))
        assert sorted(statuses) == [401] * 20 + [429] * 80

    @pytest.mark.parametrize(
        "name", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "CF-Connecting-IP", "Client-IP"]
    )
    def test_nobody_says_that_they_are_another(
        self, attacked: Target, client: str, name: str
    ) -> None:
        statuses = [
            attacked.ask(
                b"Authorization: Bearer " + guess(),
                f"{name}: {'for=' * (name == 'Forwarded')}10.0.0.{number}".encode(),
                via=client,
            ).status
            for number in range(22)
        ]
        assert statuses == [401] * 20 + [429] * 2

    def test_every_manner_of_failing_counts(
        self, attacked: Target, watch: Watch, client: str
    ) -> None:
        manners = [b"licet_sa_", b"licet_sa_x", guess() + b"=", guess()[:-1], guess()]
        for token in manners * 4:
            refused(attacked, watch, token, UNKNOWN, client)
        assert attacked.knock(guess(), via=client).status == 429


@pytest.fixture
def worn_out(attacked: Target) -> dict[str, Callable[[], tuple[str, str]]]:
    """Tokens that were good once, and why they are not any more."""
    past = time.time_ns() // 1000 - 1_000_000

    def revoked() -> tuple[str, str]:
        made = robot(attacked)
        assert attacked.knock(made.token).status == 200
        path = f"/service-accounts/{made.id}"
        assert sent(attacked, admin(), path, {}, "DELETE").status == 204
        return made.token, "the service account was revoked"

    def revoked_by_name() -> tuple[str, str]:
        made = robot(attacked)
        answer = sent(attacked, admin(), "/revocations", {"service_account": made.name})
        assert answer.status == 201
        return made.token, "the service account was revoked"

    def rotated() -> tuple[str, str]:
        made = robot(attacked)
        path = f"/service-accounts/{made.id}/rotate"
        assert sent(attacked, admin(), path, {"overlap_seconds": 0}).status == 201
        return made.token, UNKNOWN

    def after_the_overlap() -> tuple[str, str]:
        old = new_token()
        stored(attacked, old_token_digest=old.digest, old_expires_at_us=past)
        return old.text, UNKNOWN

    def expired() -> tuple[str, str]:
        return stored(attacked, expires_at_us=past).text, "the service account has expired"

    def of_somebody_revoked() -> tuple[str, str]:
        maker = f"maker-{uuid.uuid4()}"
        token = forged(TOKENS, claims(sub=maker, scopes=["service_accounts:write", SCOPE]))
        made = json.loads(create(attacked, token, SCOPE).body)["token"]
        assert attacked.knock(made).status == 200
        assert sent(attacked, admin(), "/revocations", {"subject": maker}).status == 201
        return made, "revoked"

    def of_somebody_who_had_been_revoked() -> tuple[str, str]:
        # As if it had been made at the same moment in another process.
        maker = f"maker-{uuid.uuid4()}"
        assert sent(attacked, admin(), "/revocations", {"subject": maker}).status == 201
        made = {"creator_alias": "default", "creator_subject": maker, "created_at_us": past}
        return stored(attacked, **made).text, "whoever made the service account was revoked"

    cases: list[Callable[[], tuple[str, str]]] = [
        *(revoked, revoked_by_name, rotated, after_the_overlap, expired),
        *(of_somebody_revoked, of_somebody_who_had_been_revoked),
    ]
    return {case.__name__: case for case in cases}


@pytest.mark.parametrize(
    "which",
    [
        *("revoked", "revoked_by_name", "rotated", "after_the_overlap", "expired"),
        *("of_somebody_revoked", "of_somebody_who_had_been_revoked"),
    ],
)
def test_a_token_that_was_good_once(
    attacked: Target, watch: Watch, client: str, which: str, worn_out: dict[str, Any]
) -> None:
    token, reason = worn_out[which]()
    for _ in range(2):
        refused(attacked, watch, token, reason, client)


def test_an_old_token_is_good_during_the_overlap_and_the_new_one_after_it(
    attacked: Target, watch: Watch, client: str
) -> None:
    later = time.time_ns() // 1000 + 600_000_000
    old = new_token()
    new = stored(attacked, old_token_digest=old.digest, old_expires_at_us=later)
    for token in (old.text, new.text):
        watch.let_in(attacked, lambda t=token: attacked.knock(t, via=client))  # type: ignore[misc]  # bound now


SPELLINGS: dict[str, tuple[Callable[[str], bytes], str]] = {
    "padded": (lambda t: t.encode() + b"=", UNKNOWN),
    "spare bits": (lambda t: _with_other_spare_bits(t).encode(), UNKNOWN),
    "a letter less": (lambda t: t[:-1].encode(), UNKNOWN),
    "a letter more": (lambda t: t.encode() + b"A", UNKNOWN),
    "the other alphabet": (lambda t: t.encode().translate(bytes.maketrans(b"-", b"+")), ""),
    "capitals": (lambda t: t.upper().encode(), "not three segments"),
    "a capital in front": (lambda t: t.capitalize().encode(), "not three segments"),
    "all of it in small letters": (lambda t: t.lower().encode(), UNKNOWN),
    "without its prefix": (lambda t: t.removeprefix("licet_sa_").encode(), "not three segments"),
    "another prefix": (lambda t: t.replace("licet", "agno").encode(), "not three segments"),
    "its prefix twice": (lambda t: b"licet_sa_" + t.encode(), UNKNOWN),
    "its digest": (lambda t: b"licet_sa_" + NewToken(t).digest.encode(), UNKNOWN),
    "as a JWT": (lambda t: t.encode() + b".x.y", UNKNOWN),
    "within a JWT": (lambda t: forged(TOKENS, claims(), {"alg": "RS256", "typ": t}), "type"),
}


def _with_other_spare_bits(token: str) -> str:
    """Another spelling of the same 32 bytes: two bits of the last letter stand for nothing."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other = token[:-1] + letters[letters.index(token[-1]) ^ 1]
    bodies = [text.removeprefix("licet_sa_") + "=" for text in (token, other)]
    first, second = (base64.urlsafe_b64decode(body) for body in bodies)
    assert first == second
    return other


@pytest.mark.parametrize("which", SPELLINGS)
def test_other_spellings(attacked: Target, watch: Watch, client: str, which: str) -> None:
    change, reason = SPELLINGS[which]
    made = robot(attacked)
    while "-" not in made.token:
        made = robot(attacked)
    watch.let_in(attacked, lambda: attacked.knock(made.token, via=client))
    refused(attacked, watch, change(made.token), reason or "Invalid token: ", client)
