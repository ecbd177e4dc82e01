"""``licet run``: a Python program, with its imports mapped onto licet if it asks for that."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

# What stands after SCRIPT is the script's, options too.
CONTEXT = {"allow_interspersed_args": False}


def run(
    script: Annotated[Path, typer.Argument(help="The program to run.", show_default=False)],
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="ARGS", help="Its arguments.", show_default=False),
    ] = None,
    *,
    alias: Annotated[
        str | None,
        typer.Option(
            "--as",
            metavar="NAME",
            help="Map the imports of this package onto licet while the program runs, e.g. agno.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Run a program as python would, its imports of another package mapped onto licet."""
    from licet.compat.script import run_script

    run_script(str(script), alias=alias, argv=arguments or [])
