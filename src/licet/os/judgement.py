"""Judging: what is answered to a request, and why, before anything of it is done.

The gate dispatches by it, the audit trail records it, and ``explain`` shows it: there is no other
place in which a request is decided.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from starlette.types import Scope

from licet.authn.base import Authenticated, Authentication, BadCredentials, Unavailable
from licet.authn.principal import Principal
from licet.authz.permission import Permission
from licet.os.caller import ANYBODY, OPEN, Caller
from licet.os.denial import Denial
from licet.os.middleware.authentication import AUTHENTICATION_KEY
from licet.os.policy import Policy, Ruling
from licet.os.rules import Rule

if TYPE_CHECKING:
    # A judgement is never encoded: nobody asks at runtime what is in it. They import FastAPI.
    from licet.os.matching import Matched, Matcher  # noqa: TC004 - as above
    from licet.os.table import Guarded, RouteTable  # noqa: TC004 - as above


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided about one request.

    Attributes:
        answer: the caller whose request may go on, or the refusal.
        settled_by: the name of what settled it: an authorizer's rule, or what came before.
        reason: why, in words; holds nothing of a token.
        principal: who asks, as far as that is known.
        matched: the route, where there is one.
        guarded: its template, its rule and its path parameters.
        ruling: the authorizers' word, where they were asked.
    """

    answer: Caller | Denial
    settled_by: str
    reason: str
    principal: Principal | None = None
    matched: Matched | None = None
    guarded: Guarded | None = None
    ruling: Ruling | None = None

    @property
    def rule(self) -> Rule | None:
        """What the route asks for; None: it is undeclared, or there is none."""
        return None if self.guarded is None else self.guarded.rule

    @property
    def permission(self) -> Permission | None:
        """What was asked of the caller: what settled it, else the first that the route needs."""
        if self.ruling is not None and self.ruling.request.permission is not None:
            return self.ruling.request.permission
        rule = self.rule
        return rule.permissions[0] if rule is not None and rule.permissions else None

    @property
    def is_unasked(self) -> bool:
        """Whether nobody was asked who they are: the route is public, or authorization is off."""
        return self.answer is ANYBODY or self.answer is OPEN


class Judge:
    """Judges the requests to one router.

    Args:
        matcher: finds the routes that are asked for.
        table: their rules.
        policy: who decides; None: authorization is off, and every route is open.
    """

    def __init__(self, matcher: Matcher, table: RouteTable, policy: Policy | None) -> None:
        self._matcher = matcher
        self._table = table
        self._policy = policy

    async def judge(self, scope: Scope) -> Judgement:
        """The judgement of a request that was authenticated. Reads nothing of its body."""
        matched = self._matcher.match(scope)
        guarded = None
        if matched is not None:
            guarded = self._table.guarded(matched.route, matched.scope, matched.path_params)
        policy = self._policy
        if policy is None:
            return Judgement(
                answer=OPEN,
                settled_by="open",
                reason="authorization is off",
                matched=matched,
                guarded=guarded,
            )
        if matched is not None and guarded is not None and guarded.rule is not None:
            if guarded.rule.public:
                return _public(matched, guarded)
            policy.learn(guarded.rule)
        answer = _identified(policy, scope[AUTHENTICATION_KEY])
        if isinstance(answer, Judgement):
            return _at(answer, matched, guarded)
        if guarded is None or matched is None or not matched.full:
            return _unserved(answer, matched, guarded)
        ruling = await policy.rule_on(
            answer, guarded, method=matched.scope.get("method", "WEBSOCKET")
        )
        return Judgement(
            answer=policy.refusal(ruling) or answer,
            settled_by=ruling.decision.rule,
            reason=ruling.decision.reason,
            principal=answer.principal,
            matched=matched,
            guarded=guarded,
            ruling=ruling,
        )


def _public(matched: Matched, guarded: Guarded) -> Judgement:
    return Judgement(
        answer=ANYBODY,
        settled_by="public",
        reason="the route is public",
        matched=matched,
        guarded=guarded,
    )


def _unserved(caller: Caller, matched: Matched | None, guarded: Guarded | None) -> Judgement:
    """Nothing is there for the request, or not by this method.

    The router may still have something (a front end's files), and a route class of one's own might
    serve the method all the same: that is the administrator's alone.
    """
    if guarded is None:
        rule, reason, denial = "no_route", "no route is at this path", Denial.absent()
    else:
        rule, reason = "method", "the route does not serve this method"
        denial = Denial.wrong_method(guarded.methods)
    return Judgement(
        answer=caller if caller.is_admin else denial,
        settled_by="admin" if caller.is_admin else rule,
        reason=reason,
        principal=caller.principal,
        matched=matched,
        guarded=guarded,
    )


def _identified(policy: Policy, answer: Authentication) -> Caller | Judgement:
    """The caller; or the judgement where nobody can be made out."""
    if isinstance(answer, Authenticated):
        return policy.caller(answer.principal)
    if isinstance(answer, Unavailable):
        return _unknown(Denial.unavailable(answer.reason), "unavailable", answer.reason)
    if isinstance(answer, BadCredentials):
        refused = _unknown(_refusal(answer), answer.code, answer.reason)
        return msgspec.structs.replace(refused, principal=answer.principal)
    missing = policy.missing_credentials
    return _unknown(Denial.no_credentials(missing), "no_credentials", missing)


def _unknown(denial: Denial, settled_by: str, reason: str) -> Judgement:
    return Judgement(answer=denial, settled_by=settled_by, reason=reason)


def _refusal(answer: BadCredentials) -> Denial:
    if answer.code == "cross_site":
        return Denial.cross_site(answer.reason)
    if answer.code == "too_many_failures":
        return Denial.too_many_failures(answer.reason)
    return Denial.bad_credentials(answer.reason)


def _at(judgement: Judgement, matched: Matched | None, guarded: Guarded | None) -> Judgement:
    return msgspec.structs.replace(judgement, matched=matched, guarded=guarded)
