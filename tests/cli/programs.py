"""Programs that the command line is tried on: written to files, as users have them."""

from __future__ import annotations

from pathlib import Path

GUARDED = """
from pathlib import Path

from licet.agent import Agent
from licet.db.in_memory import InMemoryDb
from licet.db.sqlite import SqliteDb
from licet.os import AgentOS, AuthorizationConfig
from licet.os.config import TrustedIssuer
from licet.testing import Say, ScriptedModel

agent_os = AgentOS(
    id="small-os",
    agents=[Agent(id="helper", model=ScriptedModel([Say("Hello")]), db=InMemoryDb())],
    db={db},
    authorization=True,
    authorization_config=AuthorizationConfig(
        verification_keys=[Path("public.pem").read_text()], {config}
    ),
)
"""
TWO_ISSUERS = (
    'issuer="https://a.test", issuers=[TrustedIssuer(alias="partner", issuer="https://b.test", '
    'verification_keys=[Path("public.pem").read_text()])]'
)
UNREACHABLE_KEYS = 'jwks_url="http://127.0.0.1:9/keys"'
OPEN = """
from licet.db.sqlite import SqliteDb
from licet.os import AgentOS

agent_os = AgentOS(db=SqliteDb("small.db"))
"""
APP = "app = agent_os.get_app()\n"
UNDECLARED_ROUTE = """
@app.get("/reports")
async def reports() -> str:
    return "all of them"
"""


def guarded(config: str = "", *, db: str = "InMemoryDb()") -> str:
    """A program whose ``agent_os`` trusts ``public.pem``."""
    return GUARDED.format(config=config, db=db)


def stored(config: str = "") -> str:
    """The same, with a database that processes share: the file ``small.db``."""
    return guarded(config, db='SqliteDb("small.db")')


def write(folder: Path, name: str, text: str) -> Path:
    """A program's file."""
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file
