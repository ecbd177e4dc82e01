"""``licet doctor``: what is wrong with a deployment, and what to do about it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from licet.cli.serve import TARGET

if TYPE_CHECKING:
    from licet.doctor.finding import Outcome
    from licet.os.agent_os import AgentOS

_TO_MEND = 1
_CANNOT = 2


def doctor(
    target: Annotated[str, TARGET],
    *,
    host: Annotated[str, typer.Option(help="The address it will listen on.")] = "127.0.0.1",
    workers: Annotated[int, typer.Option(min=1, help="How many processes a machine.")] = 1,
    replicas: Annotated[int, typer.Option(min=1, help="How many machines.")] = 1,
    alias: Annotated[
        str | None,
        typer.Option(
            "--as",
            metavar="NAME",
            help="Map the imports of this package onto licet, as 'licet run' does, e.g. agno.",
            show_default=False,
        ),
    ] = None,
    accepted: Annotated[
        list[str] | None,
        typer.Option(
            "--accept",
            metavar="CODE",
            help="What is found with this code is meant so; repeat it.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Look a deployment over: program, keys, clocks, databases, audit. Changes nothing.

    Run it where the server runs, with its environment. Fails (1) if there is something to mend, (2)
    if it could not look.
    """
    from licet.cli.doctor_report import Report
    from licet.compat.alias import install
    from licet.doctor.checks import examine
    from licet.doctor.deployment import Deployment

    meant = _codes(accepted or ())
    if alias is not None:
        install(alias)

    def outcomes(agent_os: AgentOS) -> Sequence[Outcome]:
        return asyncio.run(
            examine(Deployment(agent_os=agent_os, host=host, workers=workers, replicas=replicas))
        )

    report = Report(_looked_at(target, outcomes), accepted=meant)
    if as_json:
        typer.echo(json.dumps(report.to_json(), indent=2))
    else:
        report.show()
    if report.left:
        raise typer.Exit(_TO_MEND)


def _looked_at(target: str, outcomes: Callable[[AgentOS], Sequence[Outcome]]) -> Sequence[Outcome]:
    """What was found; a program that refuses its own settings has been looked at, too."""
    from licet.cli.target import TargetError, load_agent_os
    from licet.doctor.finding import Outcome
    from licet.doctor.starting import startup_refused
    from licet.errors import ConfigurationError, LicetError

    try:
        agent_os = load_agent_os(target)
        agent_os.get_app()
    except TargetError:
        raise
    except ConfigurationError as error:
        return [Outcome("the program", [startup_refused(target, error)])]
    except LicetError:
        raise
    except Exception:  # noqa: BLE001 - whatever the program has not caught
        sys.excepthook(*sys.exc_info())
        raise typer.Exit(_CANNOT) from None
    return outcomes(agent_os)


def _codes(given: Collection[str]) -> frozenset[str]:
    from licet.doctor.checks import KINDS
    from licet.errors import ConfigurationError

    known = {kind.code for kind in KINDS}
    for code in given:
        if code not in known:
            raise ConfigurationError(
                f"--accept {code}: there is no such code; known are {', '.join(sorted(known))}"
            )
    return frozenset(given)
