"""Nobody decides about what they asked for themselves, whatever they do it through."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from licet.authn.principal import SERVICE_ALIAS
from licet.authn.service_accounts import new_token
from licet.db.in_memory import InMemoryDb
from licet.db.trust_records import RevocationKind, RevocationRecord, ServiceAccountRecord
from tests.support.waiting_place import BOSS, At, Paused, PausePlace, detail
from tests.support.world import ADMIN, OWNER

DECIDES = ("agents:run", "approvals:read", "approvals:write")
MAKES = (*DECIDES, "service_accounts:write")
Headers = Mapping[str, str]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[At]:
    with PausePlace(
        tmp_path_factory.mktemp("pauses"), InMemoryDb("main"), agents=("alpha",)
    ).served() as made:
        yield made


@pytest.fixture
def at(served: At) -> At:
    served.made()
    return served


@pytest.fixture
def olga(at: At) -> Headers:
    return at.place.world.bearer(OWNER, *MAKES)


def account(at: At, by: Headers, name: str | None = None) -> dict[str, Any]:
    """A new service account that may all that its maker may."""
    asked = {
        "name": name or f"robot-{uuid.uuid4()}",
        "scopes": [{"scope": scope} for scope in MAKES],
        "allow_privileged_scopes": True,
    }
    made = at.client.post("/service-accounts", json=asked, headers=by)
    assert made.status_code == 201, made.text
    found: dict[str, Any] = made.json()
    return found


def made_by(at: At, maker: Mapping[str, Any]) -> Headers:
    """Headers of an account that another one made: over HTTP none can, any more."""
    token = new_token()
    record = ServiceAccountRecord(
        id=str(uuid.uuid4()),
        name=f"robot-{uuid.uuid4()}",
        scopes=DECIDES,
        token_digest=token.digest,
        token_prefix=token.prefix,
        creator_alias=SERVICE_ALIAS,
        creator_subject=maker["principal"],
        creator_issued_at_us=time.time_ns() // 1000,
        created_at_us=time.time_ns() // 1000,
    )
    assert asyncio.run(at.place.db.trust().create_service_account(record))
    return acting({"token": token.text})


def acting(made: Mapping[str, Any]) -> Headers:
    """The headers of whoever has the token of an account."""
    return {"Authorization": f"Bearer {made['token']}"}


def asked_by(at: At, headers: Headers) -> str:
    """The approval that somebody's run waits for."""
    return at.approval(at.begin("refund 5", headers=headers))


def assert_refused(at: At, identifier: str, headers: Headers) -> None:
    for wish in ("approved", "rejected"):
        answer = at.resolve(identifier, wish, headers=headers)
        assert answer.status_code == 403, answer.text
        assert detail(answer) == "Whoever began a run does not decide about its approvals"
    found = at.client.get(f"/approvals/{identifier}", headers=at.bo).json()
    assert (found["status"], at.made()) == ("pending", [])


class TestRefused:
    def test_to_whoever_began_the_run_with_whichever_token(self, at: At, olga: Headers) -> None:
        identifier = asked_by(at, olga)
        assert_refused(at, identifier, olga)
        assert_refused(at, identifier, at.place.world.bearer(OWNER, "agent_os:admin", jti="new"))

    def test_to_an_account_that_they_made(self, at: At, olga: Headers) -> None:
        robot = acting(account(at, olga))
        assert_refused(at, asked_by(at, olga), robot)
        assert_refused(at, asked_by(at, robot), olga)
        assert_refused(at, asked_by(at, robot), robot)

    def test_to_an_account_that_an_account_of_theirs_made(self, at: At, olga: Headers) -> None:
        child = account(at, olga)
        grandchild = made_by(at, child)
        assert_refused(at, asked_by(at, olga), grandchild)
        assert_refused(at, asked_by(at, grandchild), olga)
        assert_refused(at, asked_by(at, grandchild), acting(child))

    def test_to_another_account_of_theirs(self, at: At, olga: Headers) -> None:
        one, other = acting(account(at, olga)), acting(account(at, olga))
        assert_refused(at, asked_by(at, one), other)

    def test_to_an_account_of_which_they_had_a_token_made(self, at: At, olga: Headers) -> None:
        made = account(at, at.place.world.admin())
        rotated = at.client.post(f"/service-accounts/{made['id']}/rotate", json={}, headers=olga)
        assert rotated.status_code == 201, rotated.text
        robot = acting(rotated.json())
        assert_refused(at, asked_by(at, olga), robot)
        assert_refused(at, asked_by(at, robot), olga)
        # The first token is the account's, too.
        assert_refused(at, asked_by(at, olga), acting(made))

    def test_to_an_account_that_is_revoked_by_now(self, at: At, olga: Headers) -> None:
        child = account(at, olga)
        identifier = asked_by(at, made_by(at, child))
        gone = at.client.delete(f"/service-accounts/{child['id']}", headers=remover(at))
        assert gone.status_code == 204
        assert_refused(at, identifier, olga)

    def test_to_whoever_acts_for_somebody_else(self, at: At, olga: Headers) -> None:
        through = at.place.world.bearer(BOSS, *DECIDES, act={"sub": OWNER})
        assert_refused(at, asked_by(at, olga), through)
        assert_refused(at, asked_by(at, through), olga)
        deep = at.place.world.bearer(BOSS, *DECIDES, act={"sub": "proxy", "act": {"sub": OWNER}})
        assert_refused(at, asked_by(at, olga), deep)

    def test_to_whoever_somebody_else_acts_for(self, at: At, olga: Headers) -> None:
        through = at.place.world.bearer(OWNER, *DECIDES, act={"sub": "helper"})
        helper = at.place.world.bearer("helper", *DECIDES)
        assert_refused(at, asked_by(at, through), helper)
        assert_refused(at, asked_by(at, olga), through)


def remover(at: At) -> Headers:
    return at.place.world.bearer(ADMIN, "service_accounts:delete")


class TestLetIn:
    def test_is_whoever_has_nothing_to_do_with_it(self, at: At, olga: Headers) -> None:
        admins = acting(account(at, at.place.world.admin()))
        for headers in (at.bo, admins, at.place.world.admin()):
            assert at.resolve(asked_by(at, olga), headers=headers).status_code == 200

    def test_is_everybody_where_the_operator_says_so(self, tmp_path: Path) -> None:
        place = PausePlace(tmp_path, InMemoryDb("open"), agents=("alpha",))
        with place.served(config={"self_approval": True}) as at:
            olga = place.world.bearer(OWNER, *MAKES)
            for headers in (olga, acting(account(at, olga))):
                assert at.resolve(asked_by(at, olga), headers=headers).status_code == 200
            assert at.resolve(asked_by(at, olga), headers=at.olga).status_code == 403


def revoke_quietly(at: At, subject: str) -> None:
    """As another process does it: this one has not heard of it."""
    now_us = time.time_ns() // 1000
    record = RevocationRecord(
        id=str(uuid.uuid4()),
        kind=RevocationKind.SUBJECT,
        issuer_alias="default",
        value=subject,
        issued_before_us=now_us + 10_000_000,
        expires_at_us=now_us + 10**12,
        created_at_us=now_us,
    )
    asyncio.run(at.place.db.trust().add_revocations([record]))


def test_whoever_was_revoked_a_moment_ago_decides_nothing(at: At, olga: Headers) -> None:
    identifier = asked_by(at, olga)
    headers = at.decider("brief")
    assert at.client.get("/approvals", headers=headers).status_code == 200
    revoke_quietly(at, "brief")
    answer = at.resolve(identifier, headers=headers)
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    asked = at.client.get(f"/approvals/{identifier}", headers=at.bo).json()
    assert asked["status"] == "pending"


def test_where_nobody_is_authenticated_whoever_decides_says_who_they_are(tmp_path: Path) -> None:
    place = PausePlace(tmp_path, InMemoryDb("nobodys"), agents=("alpha",))
    with place.unguarded() as at:
        run: Paused = at.begin("refund 5")
        decided = at.resolve(at.approval(run), resolved_by="bo").json()
        assert (decided["status"], decided["resolved_by"]) == ("approved", "bo")
        assert at.went_on(run)["status"] == "COMPLETED"
        assert at.made() == ["refund 5"]
        unnamed = at.begin("refund 6")
        assert "resolved_by" not in at.resolve(at.approval(unnamed)).json()
