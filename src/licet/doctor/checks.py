"""The checks, put together: all that the doctor looks at."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from licet.doctor.audit_trail import AuditCheck
from licet.doctor.check import Check
from licet.doctor.databases import DatabasesCheck
from licet.doctor.deployment import Deployment
from licet.doctor.exposure import ExposureCheck
from licet.doctor.finding import Kind, Outcome
from licet.doctor.issuers import IssuersCheck
from licet.doctor.keys import KeysCheck
from licet.doctor.starting import StartingCheck
from licet.doctor.storage import StorageCheck

CHECKS: Sequence[Check] = (
    StartingCheck(),
    ExposureCheck(),
    IssuersCheck(),
    KeysCheck(),
    StorageCheck(),
    DatabasesCheck(),
    AuditCheck(),
)

KINDS: Sequence[Kind] = tuple(kind for check in CHECKS for kind in check.kinds)


async def examine(deployment: Deployment, checks: Sequence[Check] = CHECKS) -> Sequence[Outcome]:
    """What each check came to, in their order. They look at the same time."""
    found = await asyncio.gather(*(check.look(deployment) for check in checks))
    return [Outcome(check.about, findings) for check, findings in zip(checks, found, strict=True)]
