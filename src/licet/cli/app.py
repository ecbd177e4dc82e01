"""The commands, put together; and the one place where an error becomes a line and an exit code."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from licet import __version__
from licet.cli import (
    audit_tail,
    audit_verify,
    doctor,
    explain,
    keys,
    public_keys,
    revocations,
    revoke,
    routes,
    run,
    runs,
    serve,
    service_accounts,
    token_inspect,
    token_mint,
)
from licet.errors import LicetError

EXIT_CANNOT = 2


class LicetGroup(TyperGroup):
    """Tells errors of licet in one line, without a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except LicetError as error:
            typer.echo(f"licet: {error}", err=True)
            raise typer.Exit(EXIT_CANNOT) from None


def _plain_if_piped() -> dict[str, Any]:
    # Typer draws boxes also where nobody sees them.
    return {} if sys.stdout.isatty() else {"rich_markup_mode": None}


def _version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it with the option's value
    if wanted:
        typer.echo(f"licet {__version__}")
        raise typer.Exit


# A traceback with local variables would print keys and tokens: Python's own is enough.
app = typer.Typer(
    cls=LicetGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    **_plain_if_piped(),
)
keys_app = typer.Typer(no_args_is_help=True, help="Keys that sign tokens.", **_plain_if_piped())
token_app = typer.Typer(no_args_is_help=True, help="Make and read tokens.", **_plain_if_piped())
revocations_app = typer.Typer(
    no_args_is_help=True, help="What was revoked, and taking it back.", **_plain_if_piped()
)
service_accounts_app = typer.Typer(
    no_args_is_help=True, help="Tokens for machines.", **_plain_if_piped()
)

runs_app = typer.Typer(
    no_args_is_help=True, help="What works, waits and has failed.", **_plain_if_piped()
)

audit_app = typer.Typer(
    no_args_is_help=True, help="What was decided, and whether it stands.", **_plain_if_piped()
)


@app.callback()
def root(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """An agent server in which nothing runs unless the caller's verified token permits it."""


app.command("run", context_settings=run.CONTEXT)(run.run)
app.command("serve")(serve.serve)
app.command("routes")(routes.routes)
app.command("explain")(explain.explain)
app.command("doctor")(doctor.doctor)
app.command("revoke")(revoke.revoke)
audit_app.command("verify")(audit_verify.verify)
audit_app.command("tail")(audit_tail.tail)
keys_app.command("generate")(keys.generate)
keys_app.command("id")(public_keys.key_id)
keys_app.command("jwks")(public_keys.jwks)
token_app.command("mint")(token_mint.mint)
token_app.command("inspect")(token_inspect.inspect)
revocations_app.command("list")(revocations.list_revocations)
revocations_app.command("delete")(revocations.delete)
service_accounts_app.command("create")(service_accounts.create)
service_accounts_app.command("list")(service_accounts.list_accounts)
service_accounts_app.command("rotate")(service_accounts.rotate)
service_accounts_app.command("revoke")(service_accounts.revoke)
runs_app.command("list")(runs.list_runs)
runs_app.command("show")(runs.show)
runs_app.command("cancel")(runs.cancel)
runs_app.command("retry")(runs.retry)
app.add_typer(keys_app, name="keys")
app.add_typer(token_app, name="token")
app.add_typer(revocations_app, name="revocations")
app.add_typer(service_accounts_app, name="service-accounts")
app.add_typer(audit_app, name="audit")
app.add_typer(runs_app, name="runs")
