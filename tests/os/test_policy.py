from __future__ import annotations

import asyncio

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from licet.authn.principal import Principal
from licet.authz.authorizer import AccessRequest, Authorizer
from licet.authz.decision import Decision, deny, no_opinion
from licet.authz.permission import Permission
from licet.os.caller import OPEN, Caller
from licet.os.config import AuthorizationConfig
from licet.os.policy import Policy, build_policy
from licet.os.rules import Rule, requires
from licet.os.table import Guarded
from tests.authz.strategies import scope_texts
from tests.support.live import serve
from tests.support.world import OWNER, World


class Closed:
    """Says no to whatever a token permits."""

    async def authorize(self, request: AccessRequest) -> Decision:  # noqa: ARG002 - the protocol's
        return deny("it is sunday", "calendar")


class Broken:
    """Cannot say."""

    async def authorize(self, request: AccessRequest) -> Decision:  # noqa: ARG002 - the protocol's
        raise ConnectionError("policy server at pdp.internal is away")


class Silent:
    """Says nothing."""

    async def authorize(self, request: AccessRequest) -> Decision:  # noqa: ARG002 - the protocol's
        return no_opinion("not my business", "silent")


class NotBeta:
    """Has something against one object."""

    async def authorize(self, request: AccessRequest) -> Decision:
        no = request.resource_id == "beta"
        return deny("not this one", "beta") if no else no_opinion("any other", "beta")


def principal_of(caller: Caller) -> Principal:
    assert caller.principal is not None
    return caller.principal


def policy(*members: Authorizer, isolation: bool = True) -> Policy:
    """A policy that asks these besides the scopes."""
    config = AuthorizationConfig()
    return build_policy(config, user_isolation=isolation, authorizers=members)


async def decide(by: Policy, rule: Rule | None, *scopes: str) -> int:
    """The status of the answer; 200: the caller may."""
    caller = by.caller(Principal(issuer_alias="a", issuer=None, subject="olga", scopes=scopes))
    guarded = Guarded("/agents", rule, {"agent_id": "alpha"})
    denial = by.refusal(await by.rule_on(caller, guarded, method="GET"))
    return 200 if denial is None else denial.status


@requires("agents:read", id_param="agent_id")
async def endpoint() -> None:
    """Stands for a route."""


RULE = endpoint.__dict__["__licet_rule__"]


@pytest.mark.parametrize(
    ("members", "status"),
    [
        ((), 200),
        ((Silent(),), 200),
        ((Closed(),), 403),
        ((Broken(),), 503),
        ((Closed(), Broken()), 403),
    ],
)
async def test_one_that_denies_or_fails_closes_what_scopes_open(
    members: tuple[Authorizer, ...], status: int
) -> None:
    by = policy(*members)
    assert await decide(by, RULE, "agents:read") == status
    assert await decide(by, RULE, "agents:alpha:read") == status


async def test_all_permissions_are_needed() -> None:
    both = Rule((Permission("agents", "read"), Permission("sessions", "read")))
    by = policy()
    assert await decide(by, both, "agents:read", "sessions:read") == 200
    assert await decide(by, both, "agents:read") == 403
    assert await decide(by, both, "sessions:read") == 403
    assert await decide(by, Rule()) == 200


async def test_an_undeclared_route_is_the_administrators() -> None:
    by = policy()
    assert await decide(by, None, "agents:read", "agents:*:read") == 403
    assert await decide(by, None, "agent_os:admin") == 200


def test_a_decision_that_could_not_be_made_tells_nothing_of_the_reason() -> None:
    world = World()
    os = world.agent_os(authorizers=[Broken()])
    with serve(os.get_app()) as server:
        answer = httpx.get(f"{server.url}/agents", headers=world.bearer(OWNER, "agents:read"))
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"
    assert answer.json() == {"detail": "The decision could not be made; nothing was done"}


READ = Permission("agents", "read")
IDS = ("alpha", "beta", "gamma")


@given(st.lists(scope_texts(), max_size=4), st.sampled_from(((), (Silent(),))))
def test_a_list_shows_what_the_scopes_of_each_object_open(
    scopes: list[str], members: tuple[Authorizer, ...]
) -> None:
    """Whether grants alone are asked, or others too about each object."""
    by = policy(*members)
    caller = by.caller(
        Principal(issuer_alias="a", issuer=None, subject="olga", scopes=tuple(scopes))
    )

    async def both() -> tuple[set[str], set[str]]:
        one_by_one = {
            each
            for each in IDS
            if (await by.still_permits(principal_of(caller), READ, resource_id=each)).allowed
        }
        return set(await by.visible(caller, READ, IDS)), one_by_one

    shown, permitted = asyncio.run(both())
    assert shown == permitted


async def test_a_list_does_not_show_what_an_authorizer_denies() -> None:
    by = policy(NotBeta())
    caller = by.caller(
        Principal(issuer_alias="a", issuer=None, subject="olga", scopes=("agents:read",))
    )
    assert set(await by.visible(caller, READ, IDS)) == {"alpha", "gamma"}


class TestCaller:
    def caller(self, *scopes: str, isolation: bool = True) -> Caller:
        by = policy(isolation=isolation)
        return by.caller(Principal(issuer_alias="a", issuer=None, subject="olga", scopes=scopes))

    def test_rows_are_the_callers_own_whoever_is_named(self) -> None:
        caller = self.caller("agents:run")
        assert caller.owner_for("sten") == caller.owner_for(None) == "a|olga"
        assert caller.user_id("sten") == "olga"
        assert not caller.is_admin

    def test_an_administrator_can_name_somebody(self) -> None:
        admin = self.caller("agent_os:admin")
        assert admin.is_admin
        assert (admin.owner_for("sten"), admin.user_id("sten")) == ("a|sten", "sten")
        assert (admin.owner_for(None), admin.user_id(None)) == ("a|olga", "olga")
        assert (admin.owner_for(""), admin.user_id("")) == ("a|olga", "olga")

    def test_without_authorization_rows_are_nobodys(self) -> None:
        assert (OPEN.owner_for("sten"), OPEN.user_id("sten")) == ("", "sten")
        assert not OPEN.is_admin
