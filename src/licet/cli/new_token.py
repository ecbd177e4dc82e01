"""A new token of a service account: handed over once, and shown nowhere else."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from licet.cli.account_rows import describe_account
from licet.cli.files import reserved
from licet.cli.output import note
from licet.os.views import service_account_view

if TYPE_CHECKING:
    from licet.os.service_accounts import Minted


@contextmanager
def handing_over(token_file: Path | None, *, as_json: bool) -> Iterator[Callable[[Minted], None]]:
    """Give a function that hands a new token over: on stdout, or in a new file (mode 0600).

    The file is made when the block begins: without a place for it no token is made.

    Raises:
        ConfigurationError: the file exists, or cannot be written.
    """
    if token_file is None:

        def hand_over(minted: Minted) -> None:
            _tell(minted, "The token is shown this once.")
            typer.echo(_shown(minted, with_token=True) if as_json else minted.token.text)

        yield hand_over
        return
    with reserved(token_file, mode=0o600) as write:

        def write_down(minted: Minted) -> None:
            _tell(minted, f"Its token is in {str(token_file)!r}, and nowhere else.")
            write(f"{minted.token.text}\n")
            if as_json:
                typer.echo(_shown(minted, with_token=False))

        yield write_down


def _tell(minted: Minted, where: str) -> None:
    note(f"{describe_account(minted.account)} {where}")


def _shown(minted: Minted, *, with_token: bool) -> str:
    token = {"token": minted.token.text} if with_token else {}
    return json.dumps({**service_account_view(minted.account), **token}, indent=2)
