"""Cedar beside the scopes: a request goes on if the token's scopes *and* a policy permit it.

The policies are in examples/cedar/. It needs `pip install cedarpy`, and a public key:

    JWT_VERIFICATION_KEY="$(cat public.pem)" licet serve examples/cedar_authorizer.py:app
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cedarpy

from licet.agent import Agent
from licet.authn.principal import Principal
from licet.authz.authorizer import AccessRequest
from licet.authz.decision import Decision, allow, deny
from licet.models.openai import OpenAIChat
from licet.os import AgentOS


class CedarAuthorizer:
    """Asks a set of policies about every request that scopes permit.

    Args:
        policies: in Cedar's language. They are read once: to change them, restart the server.
        claims: the claims of the token that policies may look at, as ``principal.claims``.

    Raises:
        ValueError: the policies cannot be read.
    """

    def __init__(self, policies: str, *, claims: Sequence[str] = ()) -> None:
        self._policies = cedarpy.PolicySet.from_str(policies)
        self._claims = tuple(claims)

    async def authorize(self, request: AccessRequest) -> Decision:
        """Allow what a policy permits and none forbids.

        Raises:
            RuntimeError: a policy could not be evaluated.
        """
        caller = {"type": "Caller", "id": request.principal.owner}
        resource, family = _resource(request)
        entities = [
            {"uid": caller, "attrs": self._attributes(request), "parents": []},
            {"uid": resource, "attrs": {}, "parents": family},
        ]
        result = cedarpy.is_authorized(
            {
                "principal": caller,
                "action": {"type": "Action", "id": _action(request)},
                "resource": resource,
                "context": {"method": request.method, "route": request.route},
            },
            self._policies,
            json.dumps(entities),
        )
        found = result.diagnostics
        if found.errors or result.decision is cedarpy.Decision.NoDecision:
            # Cedar leaves out a policy that it cannot evaluate. It may be one that forbids.
            raise RuntimeError(f"Cedar could not evaluate every policy: {'; '.join(found.errors)}")
        names = found.id_annotations_by_reason
        policies = ", ".join(sorted(names.get(policy, policy) for policy in found.reasons))
        if result.allowed:
            return allow(f"permitted by {policies}", f"cedar:{policies}")
        if policies:
            return deny(f"forbidden by {policies}", f"cedar:{policies}")
        return deny("no policy permits it", "cedar")

    def _attributes(self, request: AccessRequest) -> dict[str, Any]:
        principal = request.principal
        return {
            "admin": request.grants.is_admin,
            "kind": principal.kind.value,
            "claims": {
                name: _plain(principal, name) for name in self._claims if name in principal.claims
            },
        }


def _action(request: AccessRequest) -> str:
    if request.permission is not None:
        return request.permission.scope
    return "verified" if request.declared else "undeclared"


def _resource(request: AccessRequest) -> tuple[dict[str, str], list[dict[str, str]]]:
    """What the request is about, and what that is in. Never put together as Cedar's own text."""
    if request.permission is None:
        return {"type": "Route", "id": request.route}, []
    family = {"type": "Family", "id": request.permission.resource}
    if request.resource_id is None:
        return family, []
    return {"type": "Object", "id": f"{family['id']}/{request.resource_id}"}, [family]


def _plain(principal: Principal, name: str) -> str | int | list[str]:
    """A claim as policies see it. Objects stay out: to Cedar some of them mean other entities."""
    value = principal.claims[name]
    if isinstance(value, str | int):  # a truth is an int, too
        return value
    if isinstance(value, tuple) and all(isinstance(item, str) for item in value):
        return list(value)
    raise ValueError(f"the claim {name!r} is no text, whole number, truth or list of texts")


agent_os = AgentOS(
    id="cedar-example",
    agents=[Agent(id=name, model=OpenAIChat(id="gpt-4o")) for name in ("support", "payroll")],
    authorization=True,
    authorizers=[
        CedarAuthorizer(
            (Path(__file__).parent / "cedar" / "agents.cedar").read_text(),
            claims=["department", "leaving"],
        )
    ],
)
app = agent_os.get_app()
