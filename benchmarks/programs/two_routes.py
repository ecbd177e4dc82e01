"""``two_routes.py PORT``: the same route twice, public, and with scope and audit record."""

from __future__ import annotations

import os
import sys

from fastapi import FastAPI

from licet.db.sqlite import SqliteDb
from licet.os import AgentOS, AuthorizationConfig

own = FastAPI()


@own.get("/public")
@own.get("/asked")
async def answer() -> dict[str, int]:
    """Nothing that costs anything."""
    return {"answer": 42}


agent_os = AgentOS(
    id="bench-os",
    db=SqliteDb(db_file=os.environ["BENCH_SQLITE"]),
    base_app=own,
    authorization=True,
    authorization_config=AuthorizationConfig(
        verification_keys=[os.environ["BENCH_PUBLIC_KEY"]],
        public_paths=["/public"],
        scope_mappings={"GET /asked": ["reports:read"]},
    ),
)

if __name__ == "__main__":
    agent_os.serve(host="127.0.0.1", port=int(sys.argv[1]), access_log=False)
