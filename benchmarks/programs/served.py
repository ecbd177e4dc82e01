"""The server that is measured: one agent without tools, history on, RS256 tokens, one process.

``served.py PORT PACKAGE`` serves with licet, or with the peer where the package is ``agno``; each
the way that its documentation names, and without a line in the log for each request.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

port, package = int(sys.argv[1]), sys.argv[2]


def of(module: str, name: str) -> Any:
    """A class of the package that is measured."""
    return getattr(importlib.import_module(f"{package}.{module}"), name)


def database() -> Any:
    """SQLite where a file is named, else PostgreSQL."""
    if "BENCH_SQLITE" in os.environ:
        return of("db.sqlite", "SqliteDb")(db_file=os.environ["BENCH_SQLITE"])
    return of("db.postgres", "PostgresDb")(db_url=os.environ["BENCH_POSTGRES"])


agent = of("agent", "Agent")(
    id="bench",
    name="Bench",
    model=of("models.openai", "OpenAIChat")(id="gpt-4o"),
    db=database(),
    add_history_to_context=True,
)
agent_os = of("os", "AgentOS")(
    id="bench-os",
    agents=[agent],
    authorization=True,
    authorization_config=of("os.config", "AuthorizationConfig")(
        verification_keys=[os.environ["BENCH_PUBLIC_KEY"]], algorithm="RS256"
    ),
)

if __name__ == "__main__":
    agent_os.serve(app=agent_os.get_app(), host="127.0.0.1", port=port, access_log=False)
