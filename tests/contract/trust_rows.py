"""Revocations and service accounts with the values that a test does not care about."""

from __future__ import annotations

import uuid
from typing import Any

from licet.db.base import Db
from licet.db.sql_db import SqlDb
from licet.db.trust_records import (
    RevocationKind,
    RevocationRecord,
    Rotation,
    ServiceAccountRecord,
    TrustChanges,
)
from licet.db.writes import Statement, Write

NEVER_US = 4_000_000_000_000_000
"""An expiry that no test reaches."""


def revocation(value: str = "t", **values: Any) -> RevocationRecord:
    """A revocation of a token."""
    return RevocationRecord(
        **{
            "id": uuid.uuid4().hex,
            "kind": RevocationKind.TOKEN,
            "issuer_alias": "main",
            "value": value,
            "issued_before_us": 10,
            "expires_at_us": NEVER_US,
            "created_at_us": 10,
            **values,
        }
    )


def account(name: str = "robot", **values: Any) -> ServiceAccountRecord:
    """A service account that never expires."""
    return ServiceAccountRecord(
        **{
            "id": uuid.uuid4().hex,
            "name": name,
            "scopes": ("agents:read", "agents:run"),
            "token_digest": uuid.uuid4().hex * 2,
            "token_prefix": "licet_sa_abcd",
            "created_at_us": 10,
            **values,
        }
    )


def rotation(*, old_expires_at_us: int = 60, now_us: int = 50, **token: Any) -> dict[str, Any]:
    """What ``rotate_service_account`` is called with."""
    new = {
        "token_digest": uuid.uuid4().hex * 2,
        "token_prefix": "licet_sa_wxyz",
        "expires_at_us": None,
        **token,
    }
    return {
        "rotation": Rotation(**new),
        "old_expires_at_us": old_expires_at_us,
        "now_us": now_us,
    }


async def everything(db: Db) -> TrustChanges:
    """All that a database holds of trust."""
    return await db.trust().changes(after=0)


async def number_of(db: Db) -> int:
    """The number that the topic has reached."""
    return (await everything(db)).number


async def forget_everything(db: Db) -> None:
    """Empty the tables of a SQL database; its number goes on."""
    assert isinstance(db, SqlDb)
    tables = ("licet_revocations", "licet_service_accounts")
    # S608: constants.
    statements = tuple(Statement(f"DELETE FROM {table}", ()) for table in tables)  # noqa: S608
    await db.write(Write(("", ""), statements, lambda _: None))
