"""``licet serve``: serve the AgentOS of a program."""

from __future__ import annotations

import os
from typing import Annotated, Literal

import typer

TARGET = typer.Argument(
    metavar="MODULE[:APP]",
    help="An AgentOS or its app, as module:attribute or program.py:attribute. "
    "Without the attribute: app, else agent_os.",
    show_default=False,
)


def serve(
    target: Annotated[str, TARGET],
    *,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The TCP port; 0: any.")] = 7777,
    reload: Annotated[
        bool, typer.Option("--reload", help="Start anew when a file changes.")
    ] = False,
    workers: Annotated[int, typer.Option(min=1, help="How many processes.")] = 1,
    access_log: Annotated[
        bool, typer.Option("--access-log/--no-access-log", help="A line for each request.")
    ] = True,
    log_format: Annotated[
        Literal["text", "json"] | None,
        typer.Option(help="Lines for people, or JSON for programs.", show_default="text"),
    ] = None,
) -> None:
    """Serve an AgentOS until stopped."""
    from licet.cli.served import APP, TARGET_VARIABLE
    from licet.cli.target import load_agent_os
    from licet.errors import ConfigurationError

    if reload and workers > 1:
        raise ConfigurationError("--reload and --workers exclude each other")
    # Also where new processes will import it again: mistakes are told here, once.
    agent_os = load_agent_os(target)
    agent_os.get_app()
    if not reload and workers == 1:
        agent_os.serve(host=host, port=port, access_log=access_log, log_format=log_format)
        return
    os.environ[TARGET_VARIABLE] = target
    agent_os.serve(
        APP,
        host=host,
        port=port,
        reload=reload,
        workers=workers,
        access_log=access_log,
        log_format=log_format,
    )
