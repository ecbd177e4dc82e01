from __future__ import annotations

from dataclasses import replace

import httpx
import pytest

from licet.authn.principal import Principal
from licet.authz.authorizer import AccessRequest, Authorizer, ScopeAuthorizer, UnionAuthorizer
from licet.authz.decision import Decision, deny, no_opinion
from licet.os.caller import OPEN, Caller
from licet.os.policy import Policy
from licet.os.rules import Rule, requires
from tests.support.live import serve
from tests.support.world import OWNER, World


class Closed:
    """Says no to whatever a token permits."""

    def authorize(self, request: AccessRequest) -> Decision:  # noqa: ARG002 - the protocol's
        return deny("it is sunday", "calendar")


class Broken:
    """Cannot say."""

    def authorize(self, request: AccessRequest) -> Decision:  # noqa: ARG002 - the protocol's
        raise ConnectionError("policy server at pdp.internal is away")


class Silent:
    """Says nothing."""

    def authorize(self, request: AccessRequest) -> Decision:  # noqa: ARG002 - the protocol's
        return no_opinion("not my business", "silent")


def policy(*members: Authorizer) -> Policy:
    """A policy that asks these besides the scopes."""
    made = World().agent_os().policy
    assert made is not None
    return replace(made, authorizer=UnionAuthorizer([ScopeAuthorizer(), *members]))


def decide(by: Policy, rule: Rule | None, *scopes: str) -> int:
    """The status of the answer; 200: the caller may."""
    caller = by.caller(Principal(issuer_alias="a", issuer=None, subject="olga", scopes=scopes))
    denial = by.decide(
        caller, rule, template="/agents", method="GET", path_params={"agent_id": "alpha"}
    )
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
def test_one_that_denies_or_fails_closes_what_scopes_open(
    members: tuple[Authorizer, ...], status: int
) -> None:
    by = policy(*members)
    assert decide(by, RULE, "agents:read") == status
    assert decide(by, RULE, "agents:alpha:read") == status


def test_all_permissions_are_needed() -> None:
    from licet.authz.permission import Permission

    both = Rule((Permission("agents", "read"), Permission("sessions", "read")))
    by = policy()
    assert decide(by, both, "agents:read", "sessions:read") == 200
    assert decide(by, both, "agents:read") == 403
    assert decide(by, both, "sessions:read") == 403
    assert decide(by, Rule()) == 200


def test_an_undeclared_route_is_the_administrators() -> None:
    by = policy()
    assert decide(by, None, "agents:read", "agents:*:read") == 403
    assert decide(by, None, "agent_os:admin") == 200


def test_a_decision_that_could_not_be_made_tells_nothing_of_the_reason() -> None:
    world = World()
    os = world.agent_os()
    by = os.policy
    assert by is not None
    object.__setattr__(by, "authorizer", UnionAuthorizer([ScopeAuthorizer(), Broken()]))
    with serve(os.get_app()) as server:
        answer = httpx.get(f"{server.url}/agents", headers=world.bearer(OWNER, "agents:read"))
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"
    assert answer.json() == {"detail": "The decision could not be made; nothing was done"}


class TestCaller:
    def caller(self, *scopes: str, isolation: bool = True) -> Caller:
        by = replace(policy(), user_isolation=isolation)
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
