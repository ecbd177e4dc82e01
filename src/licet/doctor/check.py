"""Check: looks at one thing of a deployment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from licet.doctor.deployment import Deployment
from licet.doctor.finding import Finding, Kind


class Check(Protocol):
    """Looks at one thing of a deployment, and changes nothing."""

    @property
    def about(self) -> str:
        """What it looks at, for people."""

    @property
    def kinds(self) -> Sequence[Kind]:
        """All that it can find."""

    async def look(self, deployment: Deployment) -> Sequence[Finding]:
        """What is wrong; nothing: all is right."""
