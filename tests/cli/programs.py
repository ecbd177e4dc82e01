"""Programs that the command line is tried on: written to files, as users have them."""

from __future__ import annotations

from pathlib import Path

GUARDED = """
from pathlib import Path

from licet.agent import Agent
from licet.db.in_memory import InMemoryDb
from licet.os import AgentOS, AuthorizationConfig
from licet.testing import Say, ScriptedModel

agent_os = AgentOS(
    id="small-os",
    agents=[Agent(id="helper", model=ScriptedModel([Say("Hello")]), db=InMemoryDb())],
    db=InMemoryDb(),
    authorization=True,
    authorization_config=AuthorizationConfig(
        verification_keys=[Path("public.pem").read_text()], {config}
    ),
)
"""
APP = "app = agent_os.get_app()\n"
UNDECLARED_ROUTE = """
@app.get("/reports")
async def reports() -> str:
    return "all of them"
"""


def guarded(config: str = "") -> str:
    """A program whose ``agent_os`` trusts ``public.pem``."""
    return GUARDED.format(config=config)


def write(folder: Path, name: str, text: str) -> Path:
    """A program's file."""
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file
