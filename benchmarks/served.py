"""The server that is measured: one agent without tools, history on, RS256 tokens, one process.

``served.py PORT PACKAGE`` serves with licet, or with the peer where the package is ``agno``.
"""

import importlib
import os
import sys
from pathlib import Path
from typing import Any

port, package = int(sys.argv[1]), sys.argv[2]


def of(module: str, name: str) -> Any:
    """A class of the package that is measured."""
    return getattr(importlib.import_module(f"{package}.{module}"), name)


agent = of("agent", "Agent")(
    id="bench",
    name="Bench",
    model=of("models.openai", "OpenAIChat")(id="gpt-4o"),
    db=of("db.sqlite", "SqliteDb")(db_file=str(Path(os.environ["BENCH_FOLDER"]) / "bench.db")),
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
    import uvicorn

    uvicorn.run(agent_os.get_app(), port=port, log_level="warning", access_log=False)
