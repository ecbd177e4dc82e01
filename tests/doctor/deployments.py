"""Deployments to look at: right ones, in which a test makes one thing wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from licet.agent import Agent
from licet.audit import AuditConfig
from licet.doctor.check import Check
from licet.doctor.deployment import Deployment
from licet.doctor.finding import Finding
from licet.os import AgentOS, AuthorizationConfig, Settings
from licet.testing import Say, ScriptedModel, TokenFactory

FACTORY = TokenFactory()
AUDIT_KEY = "0123456789abcdef" * 2


def helper(**given: Any) -> Agent:
    """An agent."""
    return Agent(id="helper", model=ScriptedModel([Say("Hello")]), **given)


def deployed(*, config: dict[str, Any] | None = None, **given: Any) -> Deployment:
    """A deployment for others than this machine, with ``FACTORY``'s key.

    ``config`` is of ``AuthorizationConfig``; ``host``, ``workers``, ``replicas`` and ``now`` are
    the deployment's; the rest is of AgentOS.
    """
    ways = {
        name: given.pop(name) for name in ("host", "workers", "replicas", "now") if name in given
    }
    keys = {"verification_keys": [FACTORY.public_key], "verify_audience": True}
    usual: dict[str, Any] = {
        "id": "shop",
        "agents": [helper()],
        "authorization": True,
        "settings": Settings(docs=False),
        "audit": AuditConfig(key=AUDIT_KEY),
    }
    if given.get("authorization", True):
        usual["authorization_config"] = AuthorizationConfig(**(keys if config is None else config))
    agent_os = AgentOS(**{**usual, **given})
    return Deployment(agent_os=agent_os, **{"host": "0.0.0.0", **ways})  # noqa: S104 - served nowhere


async def found(check: Check, deployment: Deployment) -> Sequence[Finding]:
    """What a check finds: kinds that it says it can find, in words that fit a line."""
    findings = await check.look(deployment)
    for finding in findings:
        assert finding.kind in check.kinds
        assert finding.where
        assert finding.what
        assert finding.remedy
    return findings


async def codes(check: Check, deployment: Deployment) -> list[str]:
    """The codes of what a check finds."""
    return [finding.kind.code for finding in await found(check, deployment)]
