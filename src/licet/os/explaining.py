"""Explaining: what the server would answer to a request, and why; nothing is run.

The answer comes from the very judge that stands in the gate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from starlette.types import Scope

from licet.authn.base import Authenticated, Authentication, Credentials
from licet.authn.principal import Principal
from licet.authz.authorizer import AccessRequest, Opinion
from licet.authz.grants import Grants
from licet.authz.permission import Permission
from licet.errors import InvalidInputError
from licet.os.denial import Denial
from licet.os.judgement import Judge, Judgement
from licet.os.middleware.authentication import AUTHENTICATION_KEY
from licet.os.policy import Policy
from licet.os.table import WEBSOCKET
from licet.os.trust import Trust

MAX_PATH_CHARS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A request that somebody might make: with a token, with scopes as if they had one, or bare.

    ``path`` may have a query, which decides nothing. ``scopes`` None: no principal is imagined.
    """

    method: str
    path: str
    token: bytes | None = None
    scopes: tuple[str, ...] | None = None
    subject: str = "somebody"
    issuer_alias: str = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """One of a route's demands, and what every authorizer said of it."""

    request: AccessRequest
    opinions: Sequence[Opinion]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What would be decided, by whom, and on what grounds.

    ``grants`` and ``looked_at`` are there where somebody was made out; ``status`` None: the request
    would go on.
    """

    question: Question
    judgement: Judgement
    principal: Principal | None
    grants: Grants | None
    looked_at: Sequence[Looked]

    @property
    def denial(self) -> Denial | None:
        """The refusal; None: the request would go on."""
        answer = self.judgement.answer
        return answer if isinstance(answer, Denial) else None


class Explainer:
    """Explains the decisions of one server.

    Args:
        judge: whose decisions they are.
        policy: its authorizers.
        trust: verifies tokens.
    """

    def __init__(self, judge: Judge, policy: Policy, trust: Trust) -> None:
        self._judge = judge
        self._policy = policy
        self._trust = trust

    async def explain(self, question: Question) -> Explanation:
        """The answer to a question.

        Raises:
            InvalidInputError: the method or the path is none.
        """
        scope = _scope(question)
        authentication = await self._authentication(question)
        scope[AUTHENTICATION_KEY] = authentication
        judgement = await self._judge.judge(scope)
        principal = authentication.principal if isinstance(authentication, Authenticated) else None
        if principal is None:
            return Explanation(
                question=question,
                judgement=judgement,
                principal=None,
                grants=None,
                looked_at=(),
            )
        caller = self._policy.caller(principal)
        looked_at: list[Looked] = []
        if judgement.ruling is not None and judgement.guarded is not None:
            looked_at = [
                Looked(request=request, opinions=opinions)
                for request, opinions in await self._policy.opinions(
                    caller, judgement.guarded, method=judgement.ruling.request.method
                )
            ]
        return Explanation(
            question=question,
            judgement=judgement,
            principal=principal,
            grants=caller.grants,
            looked_at=looked_at,
        )

    async def _authentication(self, question: Question) -> Authentication:
        if question.scopes is not None:
            return Authenticated(
                Principal(
                    issuer_alias=question.issuer_alias,
                    issuer=None,
                    subject=question.subject,
                    scopes=question.scopes,
                )
            )
        token = question.token
        presented = Credentials() if token is None else self._trust.looked_at(token)
        return await self._trust.authenticator.authenticate(presented)


def _scope(question: Question) -> Scope:
    method = question.method.upper()
    if not method.isascii() or not method.isalpha():
        raise InvalidInputError("method", "the method of a request, or WEBSOCKET")
    path = question.path.partition("?")[0]
    if not path.startswith("/") or len(path) > MAX_PATH_CHARS or not path.isprintable():
        raise InvalidInputError("path", "the path of a request: it begins with '/'")
    # As servers give it to an app: escapes undone.
    scope: dict[str, Any] = {
        "type": "http",
        "path": unquote(urlsplit(f"//host{path}").path),
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [],
        "path_params": {},
    }
    if method == WEBSOCKET:
        return {**scope, "type": "websocket", "subprotocols": []}
    return {**scope, "method": method}


def explanation_view(explanation: Explanation) -> dict[str, Any]:
    """An explanation for programs."""
    judgement, denial = explanation.judgement, explanation.denial
    guarded = judgement.guarded
    rule = judgement.rule
    return {
        "method": explanation.question.method.upper(),
        "path": explanation.question.path,
        "decision": "allow" if denial is None else "deny",
        "status": None if denial is None else denial.status,
        "rule": judgement.settled_by,
        "reason": judgement.reason,
        "principal": _principal_view(explanation.principal, explanation.grants),
        "route": None
        if guarded is None
        else {
            "template": guarded.template,
            "declared": None if rule is None else rule.source,
            "public": rule is not None and rule.public,
            "needs": [] if rule is None else [_needs(p) for p in rule.permissions],
        },
        "looked_at": [
            {
                "permission": None
                if looked.request.permission is None
                else looked.request.permission.scope,
                "resource_id": looked.request.resource_id,
                "opinions": [
                    {
                        "authorizer": opinion.authorizer,
                        "verdict": opinion.decision.verdict.name.lower(),
                        "rule": opinion.decision.rule,
                        "reason": opinion.decision.reason,
                    }
                    for opinion in looked.opinions
                ],
            }
            for looked in explanation.looked_at
        ],
    }


def _needs(permission: Permission) -> str:
    if permission.listing:
        return f"{permission.scope} (lists what is reached)"
    return permission.scope


def _principal_view(principal: Principal | None, grants: Grants | None) -> dict[str, Any] | None:
    if principal is None or grants is None:
        return None
    return {
        "kind": principal.kind.value,
        "issuer": principal.issuer_alias,
        "subject": principal.subject,
        "owner": principal.owner,
        "token_id": principal.token_id or None,
        "is_admin": grants.is_admin,
        "scopes": list(principal.scopes),
        "granting_nothing": [
            {"scope": scope.text, "reason": scope.reason} for scope in grants.unusable
        ],
    }
