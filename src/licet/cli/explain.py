"""``licet explain``: what the server would answer to a request, and why. Nothing is run."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from licet.cli.serve import TARGET

if TYPE_CHECKING:
    from licet.os.agent_os import AgentOS
    from licet.os.explaining import Question

_DENIED = 1


def explain(
    target: Annotated[str, TARGET],
    method: Annotated[
        str, typer.Argument(metavar="METHOD", help="GET, POST, …; WEBSOCKET.", show_default=False)
    ],
    path: Annotated[
        str, typer.Argument(metavar="PATH", help="Such as /agents/x/runs.", show_default=False)
    ],
    *,
    token: Annotated[
        str | None,
        typer.Option(
            help="The token; '-' reads it from standard input, where no list of processes shows "
            "it.",
            show_default=False,
        ),
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="A file with the token.", show_default=False)
    ] = None,
    scopes: Annotated[
        list[str] | None,
        typer.Option(
            "--scope", help="As if a token had this scope; repeat it.", show_default=False
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Say who would be asking, each rule that is looked at, the decision, and why.

    Fails (1) if the request would be denied.
    """
    from licet.cli.target import load_agent_os
    from licet.os.explaining import Question, explanation_view

    question = Question(
        method=method,
        path=path,
        token=_token(token, token_file, scopes),
        scopes=None if scopes is None else tuple(scopes),
    )
    explanation = asyncio.run(_explained(load_agent_os(target), target, question))
    view = explanation_view(explanation)
    if as_json:
        typer.echo(json.dumps(view, indent=2))
    else:
        _show(view)
    if view["decision"] != "allow":
        raise typer.Exit(_DENIED)


async def _explained(agent_os: AgentOS, target: str, question: Question) -> Any:
    from licet.errors import ConfigurationError

    explainer, trust = agent_os.explainer, agent_os.trust
    if explainer is None or trust is None:
        raise ConfigurationError(
            f"{target}: authorization is off: every loopback client may everything there"
        )
    await agent_os.db.open()
    try:
        await trust.start()
        try:
            return await explainer.explain(question)
        finally:
            await trust.close()
    finally:
        await agent_os.db.close()


def _token(token: str | None, file: Path | None, scopes: list[str] | None) -> bytes | None:
    from licet.cli.token_input import token_of_argument, token_of_file
    from licet.errors import ConfigurationError

    if sum(given is not None for given in (token, file, scopes)) > 1:
        raise ConfigurationError("--token, --token-file and --scope exclude each other")
    if token is not None:
        return token_of_argument(token)
    return None if file is None else token_of_file(file)


def _show(view: dict[str, Any]) -> None:
    from licet.cli.output import show_table, show_verdict

    show_table(_who(view) + _where(view))
    opinions = [
        (
            (looked["permission"] or "a verified caller")
            + (f" on {looked['resource_id']}" if looked["resource_id"] is not None else ""),
            opinion["authorizer"],
            opinion["verdict"].replace("_", " "),
            opinion["reason"],
        )
        for looked in view["looked_at"]
        for opinion in looked["opinions"]
    ]
    if opinions:
        show_table(opinions, headings=("DEMAND", "AUTHORIZER", "SAYS", "BECAUSE"))
    if view["decision"] == "allow":
        show_verdict(f"Allowed [{view['rule']}]: {view['reason']}", style="bold green")
    else:
        show_verdict(
            f"Denied, {view['status']} [{view['rule']}]: {view['reason']}", style="bold red"
        )


def _who(view: dict[str, Any]) -> list[tuple[str, str]]:
    principal = view["principal"]
    if principal is None:
        return [("principal", "nobody")]
    rows = [
        ("principal", f"{principal['kind']} {principal['owner']}"),
        ("scopes", " ".join(principal["scopes"]) or "none"),
    ]
    rows += [
        ("grants nothing", f"{scope['scope']}: {scope['reason']}")
        for scope in principal["granting_nothing"]
    ]
    return rows


def _where(view: dict[str, Any]) -> list[tuple[str, str]]:
    route = view["route"]
    if route is None:
        return [("route", "none")]
    if route["public"]:
        needs = "nothing: it is public"
    elif route["declared"] is None:
        needs = "it declares nothing: the administrator's alone"
    else:
        needs = " and ".join(route["needs"]) or "any verified caller"
    return [("route", f"{view['method']} {route['template']}"), ("needs", needs)]
