"""``licet routes``: what every route needs of its caller, and whether anything was forgotten."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated

import typer

from licet.cli.route_rows import Access, RouteRow, markdown_table, route_rows
from licet.cli.serve import TARGET

_MAP = "Add it to scope_mappings or public_paths"
_MOUNT = (
    "A front end takes no rule; to open it, mount its files: "
    "app.mount(path, StaticFiles(directory=..., html=True))"
)
_HEADINGS = ("METHOD", "PATH", "NEEDS", "DECLARED")


def routes(
    target: Annotated[str, TARGET],
    *,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Fail (1) if a route is undeclared, or a mapping belongs to no route.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="For documents.")] = False,
) -> None:
    """Print every route with what it needs of its caller."""
    from licet.cli.target import load_agent_os
    from licet.errors import ConfigurationError
    from licet.os.config import DEFAULT_ADMIN_SCOPE

    if as_json and as_markdown:
        raise ConfigurationError("--json and --markdown exclude each other")
    agent_os = load_agent_os(target)
    policy = agent_os.policy
    admin_scope = DEFAULT_ADMIN_SCOPE if policy is None else policy.admin_scope
    table = agent_os.route_table()
    rows = route_rows(table)
    if as_json:
        typer.echo(json.dumps([row.to_json() for row in rows], indent=2))
    elif as_markdown:
        typer.echo(markdown_table(rows, admin_scope=admin_scope), nl=False)
    elif not check:
        _show(rows, admin_scope)
    if check:
        _report(rows, table.unbound(), admin_scope)


def _show(rows: Sequence[RouteRow], admin_scope: str) -> None:
    from licet.cli.output import show_table

    show_table(
        [
            (row.method, row.path, row.needs(admin_scope=admin_scope), row.source or "nowhere")
            for row in rows
        ],
        headings=_HEADINGS,
    )


def _report(rows: Sequence[RouteRow], unbound: Sequence[str], admin_scope: str) -> None:
    from licet.cli.output import note

    undeclared = [row for row in rows if row.access is Access.UNDECLARED]
    for row in undeclared:
        note(
            f"{row.method} {row.path} is undeclared: closed to everyone but {admin_scope}. "
            + (_MAP if row.mappable else _MOUNT)
        )
    for mapping in unbound:
        note(f"{mapping} is mapped, but no route answers to it")
    if undeclared or unbound:
        raise typer.Exit(1)
    note(f"{len(rows)} routes, each declared")
