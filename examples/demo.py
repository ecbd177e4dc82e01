"""The demo: one protected agent, a language model inside the process, and three people.

`make demo` runs it. It makes a key pair (kept in .licet/demo/), plays the auth server by signing
three tokens with the private key, and serves with the public key alone.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import jwt
from fastapi import FastAPI

from licet.agent import Agent
from licet.db.sqlite import SqliteDb
from licet.models.llama_cpp import LlamaCpp
from licet.os import AgentOS, AuthorizationConfig
from licet.utils.cryptography import generate_rsa_keys

HOST, PORT = "127.0.0.1", int(os.environ.get("LICET_DEMO_PORT", "7777"))
URL = f"http://{HOST}:{PORT}"
FOLDER = Path(os.environ.get("LICET_DEMO_FOLDER", ".licet/demo"))
A_DAY_SECONDS = 24 * 60 * 60


def keys() -> tuple[str, str]:
    """The key pair of the last demo, or a new one."""
    private_file, public_file = FOLDER / "private.pem", FOLDER / "public.pem"
    if not private_file.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        private_key, public_key = generate_rsa_keys()
        private_file.touch(mode=0o600)
        private_file.write_text(private_key)
        public_file.write_text(public_key)
    return private_file.read_text(), public_file.read_text()


PRIVATE_KEY, PUBLIC_KEY = keys()

model = LlamaCpp()

helper = Agent(
    id="helper",
    name="Helper",
    model=model,
    description="You are a friendly helper who answers in one or two short sentences.",
    add_history_to_context=True,
)


@asynccontextmanager
async def loaded(_app: FastAPI) -> AsyncIterator[None]:
    """Load the model before the first request."""
    await model.start()
    yield


agent_os = AgentOS(
    id="licet-demo",
    name="Licet demo",
    agents=[helper],
    db=SqliteDb(db_file=str(FOLDER / "demo.db")),
    lifespan=loaded,
    authorization=True,
    authorization_config=AuthorizationConfig(verification_keys=[PUBLIC_KEY]),
)


def token(subject: str, *scopes: str) -> str:
    """What the team's auth server would sign."""
    now = int(time.time())
    claims = {"sub": subject, "scopes": scopes, "iat": now, "exp": now + A_DAY_SECONDS}
    return jwt.encode(claims, PRIVATE_KEY, algorithm="RS256")


def lines() -> str:
    """Three people, and what they can try."""
    list_agents = f'{URL}/agents -H "Authorization: Bearer $TOKEN"'
    run = (
        f'-N {URL}/agents/helper/runs -H "Authorization: Bearer $TOKEN" -F "message=What is a key?"'
    )
    sessions = f'{URL}/sessions -H "Authorization: Bearer $TOKEN"'
    admins = f'{URL}/sessions/admins-notes -H "Authorization: Bearer $TOKEN"'
    reader = token("rita", "agents:read")
    user = token("uma", "agents:read", "agents:run", "sessions:read")
    admin = token("ada", "agent_os:admin")
    return f"""
Nobody: no token, no answer.
  curl -i {URL}/agents                                    # 401

Rita, a reader (agents:read).
  TOKEN={reader}
  curl -i {list_agents}   # 200
  curl -i {run}   # 403

Ada, the administrator (agent_os:admin).
  TOKEN={admin}
  curl -i {run} -F "session_id=admins-notes"   # 200, streamed
  curl -i {sessions}   # 200, everybody's

Uma, a user (agents:read, agents:run, sessions:read).
  TOKEN={user}
  curl -i {list_agents}   # 200
  curl -i {run}   # 200, streamed
  curl -i {sessions}   # 200, her own
  curl -i {admins}   # 404, not hers
"""


app = agent_os.get_app()

if __name__ == "__main__":
    print(lines(), flush=True)
    agent_os.serve(app, host=HOST, port=PORT)
