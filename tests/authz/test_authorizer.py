from __future__ import annotations

import asyncio
import itertools
import logging
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licet.authn.principal import Principal
from licet.authz.authorizer import AccessRequest, Authorizer, ScopeAuthorizer, UnionAuthorizer
from licet.authz.decision import Decision, Verdict, allow, deny, no_opinion
from licet.authz.grants import compile_grants
from licet.authz.permission import Permission

ALICE = Principal(issuer_alias="default", issuer=None, subject="alice")
RUN = Permission("agents", "run", id_param="agent_id")
LIST = Permission("agents", "read", listing=True)
WHOLE = Permission("agents", "read")


def asking(
    *scopes: str, permission: Permission | None = RUN, resource_id: str | None = None
) -> AccessRequest:
    return AccessRequest(
        principal=ALICE,
        grants=compile_grants(scopes),
        permission=permission,
        resource_id=resource_id,
        route="/agents/{agent_id}/runs",
        method="POST",
    )


class Fixed:
    """Always decides the same; an exception is raised."""

    def __init__(self, decision: object) -> None:
        self.decision = decision
        self.asked: list[AccessRequest] = []

    async def authorize(self, request: AccessRequest) -> Decision:
        self.asked.append(request)
        if isinstance(self.decision, Exception):
            raise self.decision
        return cast("Decision", self.decision)


@pytest.mark.parametrize(
    ("request_", "allowed", "rule"),
    [
        (asking("agents:run", resource_id="a"), True, "scope:agents:run"),
        (asking("agents:*:run", resource_id="a"), True, "scope:agents:run"),
        (asking("agents:a:run", resource_id="a"), True, "scope:agents:run"),
        (asking("agents:b:run", resource_id="a"), False, "scope:agents:run"),
        (asking("agents:a:run"), False, "scope:agents:run"),
        (asking("agents:run"), True, "scope:agents:run"),
        (asking("agents:read", resource_id="a"), False, "scope:agents:run"),
        (asking(), False, "scope:agents:run"),
        (asking("agents:a:read", permission=LIST), True, "scope:agents:read"),
        (asking("agents:read", permission=LIST), True, "scope:agents:read"),
        (asking("agents:a:run", permission=LIST), False, "scope:agents:read"),
        (asking("agents:a:read", permission=WHOLE), False, "scope:agents:read"),
        (asking("agent_os:admin", resource_id="a"), True, "admin"),
        (asking("agent_os:admin", permission=None), True, "admin"),
        (asking("agents:run", "agents:read", permission=None), False, "undeclared"),
    ],
)
async def test_scopes_decide(request_: AccessRequest, rule: str, *, allowed: bool) -> None:
    decision = await ScopeAuthorizer().authorize(request_)
    assert decision.allowed is allowed
    assert await UnionAuthorizer([ScopeAuthorizer()]).authorize(request_) == decision
    assert decision.verdict is not Verdict.NO_OPINION
    assert decision.rule == rule
    assert not decision.failed


async def test_a_denial_names_the_scope_that_is_missing() -> None:
    assert "agents:run" in (await ScopeAuthorizer().authorize(asking())).reason


async def test_an_undeclared_route_says_how_it_is_opened() -> None:
    reason = (await ScopeAuthorizer().authorize(asking("agents:run", permission=None))).reason
    assert "declares no permission" in reason
    assert "scope_mappings" in reason


YES, NO, NONE = allow("yes", "a"), deny("no", "d"), no_opinion("none", "n")


@pytest.mark.parametrize(
    ("decisions", "allowed"),
    [
        ([], False),
        ([NONE], False),
        ([NONE, NONE], False),
        ([YES], True),
        ([NO], False),
        ([NONE, YES], True),
        ([YES, NONE], True),
        ([YES, NO], False),
        ([NO, YES], False),
        ([YES, YES, NO], False),
    ],
)
async def test_deny_wins_then_allow_and_no_opinion_is_a_denial(
    decisions: list[Decision], *, allowed: bool
) -> None:
    union = UnionAuthorizer([Fixed(decision) for decision in decisions])
    assert (await union.authorize(asking())).allowed is allowed


async def test_the_decision_is_that_of_the_member_that_decided() -> None:
    assert (
        await UnionAuthorizer([Fixed(YES), Fixed(allow("too", "b"))]).authorize(asking())
    ) is YES
    assert (await UnionAuthorizer([Fixed(YES), Fixed(NO)]).authorize(asking())) is NO
    nobody = await UnionAuthorizer([Fixed(NONE)]).authorize(asking())
    assert (nobody.reason, nobody.rule, nobody.failed) == ("nobody allows it", "union", False)


async def test_members_see_the_request_as_it_is_and_none_after_a_denial() -> None:
    first, second = Fixed(NO), Fixed(YES)
    request = asking()
    (await UnionAuthorizer([first, second]).authorize(request))
    assert (first.asked, second.asked) == ([request], [])


@pytest.mark.parametrize("others", list(itertools.permutations([YES, NONE])), ids=["first", "last"])
@pytest.mark.parametrize(
    "broken",
    [
        RuntimeError("policy server at 10.0.0.7 is down"),
        None,
        True,
        Verdict.ALLOW,
        Decision(cast("Verdict", 1)),
        Decision(cast("Verdict", True)),
        Decision(cast("Verdict", 0)),
    ],
    ids=repr,
)
async def test_a_member_that_fails_is_a_denial_that_says_so(
    broken: object, others: tuple[Decision, ...], caplog: pytest.LogCaptureFixture
) -> None:
    members = [*map(Fixed, others), Fixed(broken)]
    with caplog.at_level(logging.ERROR):
        decision = await UnionAuthorizer(members).authorize(asking())
    assert decision.verdict is Verdict.DENY
    assert decision.failed
    assert decision.rule == "Fixed"
    assert "10.0.0.7" not in decision.reason
    assert "the authorizer Fixed" in caplog.text


async def test_what_ends_the_program_is_not_caught() -> None:
    class Stopping:
        async def authorize(self, request: AccessRequest) -> Decision:
            raise KeyboardInterrupt(request.method)

    with pytest.raises(KeyboardInterrupt):
        (await UnionAuthorizer([Stopping()]).authorize(asking()))


async def test_a_union_can_stand_in_a_union() -> None:
    inner: Authorizer = UnionAuthorizer([ScopeAuthorizer()])
    assert (await UnionAuthorizer([inner]).authorize(asking("agents:run"))).allowed


async def test_a_policy_of_ones_own_can_take_away_but_not_add() -> None:
    class NotOnSundays:
        async def authorize(self, request: AccessRequest) -> Decision:
            return no_opinion("a week day", "calendar") if request.resource_id else NO

    union = UnionAuthorizer([ScopeAuthorizer(), NotOnSundays()])
    assert (await union.authorize(asking("agents:run", resource_id="a"))).allowed
    assert not (await union.authorize(asking("agents:run"))).allowed
    assert not (await union.authorize(asking(resource_id="a"))).allowed


decisions: st.SearchStrategy[Any] = st.sampled_from([YES, NO, NONE, RuntimeError("down")])


@given(st.lists(decisions, max_size=6))
async def test_a_union_allows_only_if_somebody_does_and_nobody_objects(given_: list[Any]) -> None:
    decision = await UnionAuthorizer([Fixed(each) for each in given_]).authorize(asking())
    objections = [each for each in given_ if each is NO or isinstance(each, Exception)]
    assert decision.allowed is (YES in given_ and not objections)
    assert decision.failed is bool(objections and isinstance(objections[0], Exception))


class Cancelled:
    """Something inside of it is cancelled, or waits until it is."""

    def __init__(self, *, itself: bool) -> None:
        self.itself = itself
        self.began = asyncio.Event()

    async def authorize(self, request: AccessRequest) -> Decision:  # noqa: ARG002 - the protocol's
        self.began.set()
        if self.itself:
            raise asyncio.CancelledError
        await asyncio.Event().wait()
        return YES


async def test_an_authorizer_that_was_cancelled_inside_is_a_denial() -> None:
    decision = await UnionAuthorizer([Cancelled(itself=True)]).authorize(asking())
    assert (decision.verdict, decision.failed) == (Verdict.DENY, True)


async def test_a_request_that_is_cancelled_ends() -> None:
    waiting = Cancelled(itself=False)
    asked = asyncio.create_task(UnionAuthorizer([waiting]).authorize(asking()))
    await waiting.began.wait()
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
