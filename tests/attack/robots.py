"""Service accounts for attacks, made over HTTP or put into the database."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from dataclasses import dataclass
from typing import Any

from licet.authn.service_accounts import NewToken, new_token
from licet.db.trust_records import ServiceAccountRecord
from licet.testing import TokenFactory
from tests.attack.forge import claims, forged
from tests.attack.target import SCOPE, Answer, Target

TOKENS = TokenFactory()


@dataclass(frozen=True, slots=True)
class Robot:
    """A service account, and its token."""

    id: str
    name: str
    token: str


def sent(
    attacked: Target, token: bytes | str, path: str, body: Any, method: str = "POST"
) -> Answer:
    kind = b"Content-Type: application/json"
    line = b"Authorization: Bearer " + (token if isinstance(token, bytes) else token.encode())
    return attacked.ask(line, kind, method=method, path=path, body=json.dumps(body).encode())


def admin() -> bytes:
    return forged(TOKENS, claims(sub="ada", scopes=["agent_os:admin"]))


def create(attacked: Target, token: bytes | str, *scopes: str) -> Answer:
    body = {"name": f"robot-{uuid.uuid4()}", "scopes": list(scopes)}
    return sent(attacked, token, "/service-accounts", {**body, "allow_privileged_scopes": True})


def robot(attacked: Target, *scopes: str) -> Robot:
    answer = create(attacked, admin(), *(scopes or (SCOPE,)))
    assert answer.status == 201, answer
    made = json.loads(answer.body)
    return Robot(made["id"], made["name"], made["token"])


def stored(attacked: Target, **changed: Any) -> NewToken:
    """A service account that is put into the database as it is; its token."""
    token, identifier = new_token(), str(uuid.uuid4())
    usual = {
        "id": identifier,
        "name": f"robot-{identifier}",
        "scopes": (SCOPE,),
        "token_digest": token.digest,
        "token_prefix": token.prefix,
        "created_at_us": time.time_ns() // 1000,
    }
    record = ServiceAccountRecord(**{**usual, **changed})
    assert asyncio.run(attacked.world.db.trust().create_service_account(record))
    return token
