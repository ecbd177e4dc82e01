"""``durable_runs.py PORT``: an agent in the foreground, and the same one with durable runs."""

from __future__ import annotations

import os
import sys

from licet.agent import Agent
from licet.db.base import Db
from licet.db.postgres import PostgresDb
from licet.db.sqlite import SqliteDb
from licet.models.openai import OpenAIChat
from licet.os import AgentOS, AuthorizationConfig


def step(number: int) -> str:  # noqa: ARG001 - for its schema
    """A step that costs nothing."""
    return "done"


def agent(name: str, *, durable: bool) -> Agent:
    """One of the two."""
    return Agent(
        id=name,
        model=OpenAIChat(id="gpt-4o"),
        tools=[step],
        add_history_to_context=True,
        durable=durable,
    )


file = os.environ.get("BENCH_SQLITE")
db: Db = SqliteDb(db_file=file) if file else PostgresDb(db_url=os.environ["BENCH_POSTGRES"])
agent_os = AgentOS(
    id="bench-os",
    agents=[agent("plain", durable=False), agent("durable", durable=True)],
    db=db,
    authorization=True,
    authorization_config=AuthorizationConfig(verification_keys=[os.environ["BENCH_PUBLIC_KEY"]]),
)

if __name__ == "__main__":
    agent_os.serve(host="127.0.0.1", port=int(sys.argv[1]), access_log=False)
