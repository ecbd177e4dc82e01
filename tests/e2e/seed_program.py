"""The program that the project was created from, served, with everything around it real."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import jwt

from licet.utils.cryptography import generate_rsa_keys
from tests.support.lock import alone
from tests.support.openai import scripted_openai
from tests.support.postgres import EmbeddedPostgres, reachable_folder
from tests.support.process import Process, running

SEED = Path(__file__).parent / "seed" / "basic_rbac_asymmetric.py"
URL = "http://127.0.0.1:7777"
RUNS = f"{URL}/agents/research-agent/runs"

# The model searches when it is asked for news, and else answers in words.
SCRIPT: dict[str, Any] = {
    "rules": [
        {
            "match": "latest AI news",
            "answers": [
                {"tool_calls": [{"name": "web_search", "arguments": {"query": "AI news"}}]},
                {"text": "The search engine cannot be reached today."},
            ],
        }
    ],
    "otherwise": {"text": "You asked about AI news before."},
}


@dataclass(frozen=True)
class Served:
    """The seed, serving."""

    process: Process
    private_key: str
    admin_token: str
    model_url: str

    def headers(self, token: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {token}"}

    @property
    def admin(self) -> dict[str, str]:
        return self.headers(self.admin_token)

    def user(self) -> dict[str, str]:
        """The user token that the program makes but does not print."""
        claims = jwt.decode(self.admin_token, options={"verify_signature": False})
        claims |= {
            "sub": "user_123",
            "session_id": "session_456",
            "scopes": ["agents:read", "agents:run"],
        }
        return self.headers(jwt.encode(claims, self.private_key, algorithm="RS256"))

    def model_requests(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = httpx.get(f"{self.model_url}/_requests").json()
        return found


@contextmanager
def served(command: Sequence[str], folder: Path) -> Iterator[Served]:
    """Run a command that serves the program in a folder, with PostgreSQL where it expects it."""
    private_key, public_key = generate_rsa_keys()
    with (
        alone("port-7777"),
        reachable_folder() as data,
        EmbeddedPostgres(data / "postgres", port=5532) as postgres,
        scripted_openai(SCRIPT) as model_url,
    ):
        postgres.create_role_and_database("ai", "ai")
        env = {
            "JWT_SIGNING_KEY": private_key,
            "JWT_VERIFICATION_KEY": public_key,
            "OPENAI_API_KEY": "sk-scripted",
            "OPENAI_BASE_URL": f"{model_url}/v1",
            # Web search finds a closed port: what it reports is part of the conversation.
            "DDGS_PROXY": "http://127.0.0.1:9",
        }
        with running(command, cwd=folder, env=env) as process:
            process.wait_until_serving(f"{URL}/health")
            heading = process.lines.index("Admin Token (agent_os:admin - full access):")
            yield Served(process, private_key, process.lines[heading + 1], model_url)
