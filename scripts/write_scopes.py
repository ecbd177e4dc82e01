"""Write docs/scopes.md from the routes and the families: `python scripts/write_scopes.py`."""

from __future__ import annotations

from pathlib import Path

from licet.agent import Agent
from licet.authz.families import DEFAULT_FAMILIES
from licet.cli.route_rows import markdown_table, route_rows
from licet.db.in_memory import InMemoryDb
from licet.os import AgentOS, AuthorizationConfig
from licet.os.config import DEFAULT_ADMIN_SCOPE
from licet.testing import ScriptedModel, TokenFactory

PAGE = Path(__file__).parents[1] / "docs" / "scopes.md"

TEXT = """\
# Scopes

<!-- Written by scripts/write_scopes.py from the routes; a test fails when it is stale. -->

A token's scopes say what its holder may do. A scope has one of three forms:

| form | grants |
| --- | --- |
| `resource:action` | the action on every object of the resource |
| `resource:*:action` | the same |
| `resource:<id>:action` | the action on one object |

and `{admin}` (`admin_scope=` names another) grants everything. Actions do not include each other:
`sessions:write` is not `sessions:read`. Anything else in a token, an unknown word or shape, grants
nothing; `licet token inspect` says which of a token's scopes are of that kind, and why.

Sessions and runs are always the caller's own, whatever the scopes: `sessions:read` is the
permission to read *one's own* sessions. Only `{admin}` reaches everybody's, or whoever holds the
scope where `user_isolation=False`.

## Routes

{routes}
A list answers what the caller's grants reach of the family, and is closed to those whose grants
reach nothing of it. A missing scope is `403` with `WWW-Authenticate: Bearer
error="insufficient_scope", scope="…"` (RFC 6750 §3.1); a missing or bad token is `401`.

## Routes of your own

Routes that you add to the app, before or after `get_app()`, are closed to everyone but
`{admin}` until they [say themselves](authorization.md#routes-of-your-own) what they need, or
`scope_mappings` or `public_paths` opens them:

<!-- file: reports.py -->
```python
from pathlib import Path

from fastapi import FastAPI

from licet.os import AgentOS, AuthorizationConfig

mine = FastAPI()


@mine.get("/reports/{{report_id}}")
async def report(report_id: str) -> dict[str, str]:
    return {{"report": report_id}}


agent_os = AgentOS(
    id="reports",
    base_app=mine,
    authorization=True,
    authorization_config=AuthorizationConfig(
        verification_keys=[Path("public.pem").read_text()],
        scope_mappings={{"GET /reports/{{id}}": ["reports:{{id}}:read"]}},
    ),
)
app = agent_os.get_app()
```

`licet routes --check` names what is still undeclared:

<!-- run -->
```bash
licet keys generate --out .
licet routes reports:app --check
```

A mapping is bound to a route's template when the app starts. `{{id}}` in the key stands for one
placeholder of the template, by its place; in the scope it asks for that very object. An empty list
asks for any verified caller. A mapping stands above what a route says of itself. One that binds to
no route refuses to start.

## Families

| resource | actions | ids |
| --- | --- | --- |
{families}
Families whose routes do not exist yet are known already: tokens that hold their scopes are not
wrong, and open nothing. Families that your own routes name are known to that server.
"""


def page() -> str:
    """The page as it should be."""
    agent_os = AgentOS(
        agents=[Agent(id="agent", model=ScriptedModel([]))],
        db=InMemoryDb(),
        authorization=True,
        authorization_config=AuthorizationConfig(verification_keys=[TokenFactory().public_key]),
    )
    families = "".join(
        f"| `{name}` | {', '.join(sorted(family.actions))} | {_yes(family.has_ids)} |\n"
        for name, family in sorted(DEFAULT_FAMILIES.known.items())
    )
    routes = markdown_table(route_rows(agent_os.route_table()), admin_scope=DEFAULT_ADMIN_SCOPE)
    return TEXT.format(admin=DEFAULT_ADMIN_SCOPE, routes=routes, families=families)


def _yes(said: bool) -> str:  # noqa: FBT001 - a word for a truth
    return "yes" if said else "no"


if __name__ == "__main__":
    PAGE.write_text(page())
