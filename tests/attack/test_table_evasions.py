"""Who is revoked leaves nothing behind that goes on, however they arrange it beforehand."""

from __future__ import annotations

import asyncio
import json
import socket
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from licet.db.sqlite import SqliteDb
from licet.db.trust_records import RevocationKind, RevocationRecord, ServiceAccountRecord
from licet.errors import StorageError
from tests.attack.forge import claims, forged
from tests.attack.robots import TOKENS, Robot, admin, robot, sent
from tests.attack.target import SCOPE, Answer, Target, Watch, pieces_of, target
from tests.support.live import DEADLINE_SECONDS
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


def closed(
    attacked: Target,
    watch: Watch,
    token: str,
    reason: str = "invalid or expired service account token",
) -> None:
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


class TestARequestThatIsHeldOpen:
    @pytest.mark.parametrize("path", [ACCOUNTS, "/agents/alpha/runs", "/sessions", REVOCATIONS])
    def test_it_ends_when_the_rest_of_it_comes(
        self, attacked: Target, watch: Watch, path: str
    ) -> None:
        subject, name = f"eve-{uuid.uuid4()}", f"evil-{uuid.uuid4()}"
        rights = ["service_accounts:write", "agents:run", "sessions:write", "revocations:write"]
        token = forged(TOKENS, claims(sub=subject, scopes=[*rights, SCOPE]))
        body = json.dumps({"name": name, "scopes": [SCOPE], "message": "hi"}).encode()
        head = [
            f"POST {path} HTTP/1.1",
            f"Host: {attacked.server.host}:{attacked.server.port}",
            f"Authorization: Bearer {token.decode()}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            *("Connection: close", "", ""),
        ]
        runs = len(attacked.world.model.requests)
        where = (attacked.server.host, attacked.server.port)
        with socket.create_connection(where, DEADLINE_SECONDS) as link:
            link.sendall("\r\n".join(head).encode() + body[:-1])
            # Admitted: whoever asks next has been let in as well.
            opened(attacked, watch, token.decode())
            revoke(attacked, subject=subject)
            # At once, before what is open has been ended.
            link.sendall(body[-1:])
            received = b""
            while chunk := link.recv(65536):
                received += chunk
        answer = Answer.read(received)
        assert answer.status == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert b"was revoked" in answer.body
        assert len(attacked.world.model.requests) == runs
        listing = sent(attacked, admin(), f"{ACCOUNTS}?include_revoked=true&limit=100", {}, "GET")
        assert name.encode() not in listing.body


class Replicas:
    """Two servers on one database; ``deaf`` hears of no change until it asks."""

    def __init__(self, hearing: Target, deaf: Target) -> None:
        self.hearing = hearing
        self.deaf = deaf

    def account(self, name: str) -> dict[str, Any] | None:
        """What the database says of an account, revoked or not."""
        answer = sent(
            self.hearing, admin(), f"{ACCOUNTS}?include_revoked=true&limit=100", {}, "GET"
        )
        found = [each for each in json.loads(answer.body)["data"] if each["name"] == name]
        return found[0] if found else None


@pytest.fixture
def replicas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Replicas]:
    async def nothing_heard(_topic: str, *, after: int, timeout_seconds: float) -> int:
        await asyncio.sleep(timeout_seconds)
        return after

    one, other = (SqliteDb(tmp_path / "one.db") for _ in range(2))
    monkeypatch.setattr(other, "watch", nothing_heard)
    with (
        target(World(tokens=TOKENS, db=one)) as hearing,
        target(World(tokens=TOKENS, db=other)) as deaf,
    ):
        yield Replicas(hearing, deaf)


def new_account(attacked: Target, token: bytes, name: str) -> Answer:
    return sent(attacked, token, ACCOUNTS, {"name": name, "scopes": [SCOPE]})


class TestAReplicaThatHasNotHeard:
    def test_it_makes_no_account_and_rotates_none(self, replicas: Replicas, watch: Watch) -> None:
        eve, account = insider("eve"), robot(replicas.hearing)
        opened(replicas.deaf, watch, eve.decode())
        revoke(replicas.hearing, subject="eve")
        # It has not heard, so it would let her in.
        opened(replicas.deaf, watch, eve.decode())
        assert new_account(replicas.deaf, eve, "evil").status == 401
        assert replicas.account("evil") is None

        mo = insider("mo")
        opened(replicas.deaf, watch, mo.decode())
        revoke(replicas.hearing, subject="mo")
        answer = rotate(replicas.deaf, mo, account.id, overlap_seconds=0)
        assert answer.status == 401
        for replica in (replicas.hearing, replicas.deaf):
            opened(replica, watch, account.token)

    def test_nobody_takes_their_own_revocation_back(self, replicas: Replicas, watch: Watch) -> None:
        eve = forged(TOKENS, claims(sub="eve", scopes=["revocations:delete", SCOPE]))
        opened(replicas.deaf, watch, eve.decode())
        made = revoke(replicas.hearing, subject="eve")
        where = f"{REVOCATIONS}/{made}"
        assert sent(replicas.deaf, eve, where, {}, "DELETE").status == 401
        closed(replicas.hearing, watch, eve.decode(), "revoked")

    def test_nobody_revokes_others_on_their_way_out(self, replicas: Replicas, watch: Watch) -> None:
        rights = ["revocations:write", "service_accounts:delete", SCOPE]
        account = robot(replicas.hearing)
        for number, (method, path, body) in enumerate(
            (
                ("POST", REVOCATIONS, {"subject": "olga"}),
                ("DELETE", f"{ACCOUNTS}/{account.id}", {}),
            )
        ):
            eve = forged(TOKENS, claims(sub=f"eve-{number}", scopes=rights))
            opened(replicas.deaf, watch, eve.decode())
            revoke(replicas.hearing, subject=f"eve-{number}")
            assert sent(replicas.deaf, eve, path, body, method).status == 401
        olga = forged(TOKENS, claims(sub="olga"))
        for token in (olga.decode(), account.token):
            opened(replicas.hearing, watch, token)


class TestARevocationInTheVeryMoment:
    """It is stored when the request has been checked and its account is not written yet."""

    @pytest.fixture
    def late(self, replicas: Replicas, monkeypatch: pytest.MonkeyPatch) -> str:
        """Who is revoked then."""
        db, subject = replicas.deaf.world.db, "eve"
        really = db.trust

        class Late:
            def __getattr__(self, name: str) -> Any:
                return getattr(really(), name)

            async def create_service_account(self, account: ServiceAccountRecord) -> bool:
                await really().add_revocations([revocation])
                return await really().create_service_account(account)

            async def rotate_service_account(self, *given: Any, **named: Any) -> Any:
                await really().add_revocations([revocation])
                return await really().rotate_service_account(*given, **named)

        now_us = time.time_ns() // 1000
        revocation = RevocationRecord(
            id=str(uuid.uuid4()),
            # Of the one token: a subject's would take the account along by itself.
            kind=RevocationKind.TOKEN,
            issuer_alias="default",
            value="stolen",
            issued_before_us=now_us,
            expires_at_us=now_us + 3_600_000_000,
            created_at_us=now_us,
        )
        monkeypatch.setattr(db, "trust", Late)
        return subject

    def test_the_account_is_revoked_for_good(self, replicas: Replicas, late: str) -> None:
        answer = new_account(replicas.deaf, insider(late, jti="stolen"), "evil")
        assert answer.status == 401
        assert b"the token was revoked" in answer.body
        account = replicas.account("evil")
        assert account is not None
        assert "revoked_at" in account

    def test_the_token_of_a_rotation_is_ended_for_good_and_the_account_stays(
        self, replicas: Replicas, watch: Watch, late: str
    ) -> None:
        account = robot(replicas.hearing)
        answer = rotate(replicas.deaf, insider(late, jti="stolen"), account.id)
        assert answer.status == 401
        found = replicas.account(account.name)
        assert found is not None
        assert "revoked_at" not in found
        assert "rotated_by" not in found
        # It goes on, and is given another.
        opened(replicas.hearing, watch, account.token)
        opened(replicas.hearing, watch, rotated(replicas.hearing, admin(), account))


def test_while_the_revocations_cannot_be_read_nothing_is_given(
    replicas: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust = replicas.deaf.agent_os.trust
    assert trust is not None
    readable = replicas.deaf.agent_os.db.trust()

    class Unreadable:
        def __getattr__(self, name: str) -> Any:
            return getattr(readable, name)

        async def changes(self, *, after: int) -> None:
            raise StorageError(f"{after} cannot be read")

        async def everything(self) -> None:
            raise StorageError("nothing can be read")

    monkeypatch.setattr(trust.watch, "_store", Unreadable())
    answer = new_account(replicas.deaf, insider("olga"), "olgas")
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert replicas.account("olgas") is None
