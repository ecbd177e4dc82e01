"""What is in the audit trail of those whose credentials are bad, too weak, or a machine's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from licet.os import AgentOS, AuthorizationConfig, Settings, TokenSource
from licet.testing import TokenFactory, key_set
from tests.support.audited import (
    ALLOWED,
    BLOCKING,
    DENIED,
    MAPPED,
    NOBODY,
    OLGA,
    Served,
    Visits,
    assert_nothing_of,
    at,
    fields,
    house,
    of_another_key,
    served,
)
from tests.support.live import serve
from tests.support.world import OS_ID, OWNER, World

__all__ = ["at", "house"]


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server whose keys have names, and that takes cookies too."""
    world = World(tokens=TokenFactory(key_id="k-1"))
    file = tmp_path_factory.mktemp("keys") / "jwks.json"
    file.write_text(key_set(world.tokens))
    config = AuthorizationConfig(
        jwks_file=str(file), token_source=TokenSource.BOTH, scope_mappings=MAPPED
    )
    agent_os = AgentOS(
        id=OS_ID,
        agents=[],
        db=world.db,
        base_app=Visits().app(),
        audit=BLOCKING,
        authorization=True,
        authorization_config=config,
    )
    with serve(agent_os.get_app()) as live:
        yield Served(world, live, Visits())


class TestBadCredentials:
    @pytest.mark.parametrize(
        ("rule", "status"),
        [
            ("authorization_header", 401),
            ("token_refused", 401),
            ("token_expired", 401),
            ("token_signature", 401),
            ("token_key", 401),
            ("several_credentials", 401),
            ("cross_site", 403),
        ],
    )
    def test_each_reason_has_a_code_and_nothing_of_the_token(
        self, strict: Served, rule: str, status: int
    ) -> None:
        tokens = strict.world.tokens
        good = tokens.token(OWNER, scopes=["reports:read"], jti="an-id-of-ones-own")
        other = TokenFactory(fresh_key=True, key_id="k-1").token(OWNER)
        headers = {
            "authorization_header": [("Authorization", f"Basic {good}")],
            "token_refused": [("Authorization", f"Bearer {good.rpartition('.')[0]}")],
            "token_expired": [("Authorization", f"Bearer {tokens.token(OWNER, exp=1)}")],
            "token_signature": [("Authorization", f"Bearer {other}")],
            "token_key": [("Authorization", f"Bearer {of_another_key()}")],
            "several_credentials": [
                ("Authorization", f"Bearer {good}"),
                ("Cookie", f"access_token={good}"),
            ],
            "cross_site": [("Cookie", f"access_token={good}"), ("Origin", "https://evil.test")],
        }[rule]
        strict.trail.news()
        answer = httpx.post(f"{strict.live.url}/reports/7", headers=headers)
        assert answer.status_code == status
        record = strict.one()
        expected = {**DENIED, **NOBODY, "status": status, "rule": rule, "method": "POST"}
        assert fields(record, *expected) == expected
        assert_nothing_of(record, *(value for _, value in headers))

    def test_somebody_who_was_revoked_is_named(self, strict: Served) -> None:
        admin = strict.world.admin()
        body = {"token_id": "t-9"}
        assert strict.ask("POST", "/revocations", admin, json=body).status_code == 201
        strict.trail.news()
        gone = strict.world.bearer("sten", "reports:read", jti="t-9")
        assert strict.ask("GET", "/reports/7", gone).status_code == 401
        expected = {**DENIED, "status": 401, "rule": "token_revoked", "token_id": "t-9"}
        record = strict.one()
        assert fields(record, *expected) == expected
        assert (record.subject, record.issuer_alias, record.credential) == (
            "sten",
            "default",
            "jwt",
        )


def test_who_fails_too_often_is_recorded_each_time() -> None:
    with served(settings=Settings(max_failed_authentications=2)) as at:
        forged = TokenFactory(fresh_key=True)
        for number, status in enumerate((401, 401, 429, 429)):
            headers = {"Authorization": f"Bearer {forged.token(f'u{number}')}"}
            assert at.ask("GET", "/reports/7", headers).status_code == status
        told = [(record.status, record.rule) for record in at.trail.news()]
    assert told[2:] == [(429, "too_many_failures")] * 2
    assert [status for status, _ in told[:2]] == [401, 401]


def test_where_nobody_can_say_at_present_that_is_recorded() -> None:
    with served(config={"jwks_url": "http://127.0.0.1:9/keys", "scope_mappings": MAPPED}) as at:
        headers = {"Authorization": f"Bearer {of_another_key()}"}
        assert at.ask("GET", "/reports/7", headers).status_code == 503
        expected = {**DENIED, **NOBODY, "status": 503, "rule": "unavailable"}
        record = at.one()
    assert fields(record, *expected) == expected


class TestServiceAccounts:
    def made(self, at: Served, *scopes: str) -> dict[str, Any]:
        body = {"name": f"robot-{time.time_ns()}", "scopes": list(scopes)}
        answer = at.ask("POST", "/service-accounts", at.world.admin(), json=body)
        at.trail.news()
        found: dict[str, Any] = answer.json()
        return found

    def test_one_is_named_by_its_id_and_never_by_its_token(self, at: Served) -> None:
        account = self.made(at, "agents:read")
        bearer = {"Authorization": f"Bearer {account['token']}"}
        assert at.ask("GET", "/agents", bearer).status_code == 200
        assert at.ask("GET", "/config", bearer).status_code == 403
        for record, decision in zip(at.trail.news(), ("allow", "deny"), strict=True):
            expected = {
                "decision": decision,
                "issuer_alias": "@service",
                "subject": f"sa:{account['name']}",
                "token_id": account["id"],
                "credential": "service_account",
            }
            assert fields(record, *expected) == expected
            assert_nothing_of(record, account["token"], account["token"].removeprefix("licet_sa_"))

    @pytest.mark.parametrize("spoil", [lambda t: t[:-1], lambda t: t[:-1] + "x", lambda t: t * 2])
    def test_a_token_that_is_none_leaves_nothing_of_it(
        self, at: Served, spoil: Callable[[str], str]
    ) -> None:
        token = spoil(self.made(at, "agents:read")["token"])
        bearer = {"Authorization": f"Bearer {token}"}
        assert at.ask("GET", "/agents", bearer).status_code == 401
        record = at.one()
        assert record.credential == "none"
        assert_nothing_of(record, token, token.removeprefix("licet_sa_"))

    def test_who_grants_more_than_they_hold_is_let_in_and_then_refused(self, at: Served) -> None:
        minter = at.world.bearer(OWNER, "service_accounts:write", jti="t-1")
        headers = {**minter, "X-Request-ID": "id-7"}
        body = {"name": "robot", "scopes": ["agents:run"]}
        assert at.ask("POST", "/service-accounts", headers, json=body).status_code == 403
        allowed, denied = at.trail.news()
        expected = {**ALLOWED, **OLGA, "action": "service_accounts:write"}
        assert fields(allowed, *expected) == expected
        expected = {
            **OLGA,
            "kind": "grant",
            "decision": "deny",
            "status": 403,
            "rule": "not_yours_to_grant",
            "reason": "Cannot grant scope(s) you do not hold: agents:run",
            "method": "POST",
            "route": "/service-accounts",
            "request_id": "id-7",
            "client": "127.0.0.1",
        }
        assert fields(denied, *expected) == expected
        assert denied.time_us >= allowed.time_us
