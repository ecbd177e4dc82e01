"""What commands print: tables for people at a terminal, plain aligned text for everything else."""

from __future__ import annotations

from collections.abc import Sequence

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text


def show_table(
    rows: Sequence[Sequence[str]], *, headings: Sequence[str] = (), title: str | None = None
) -> None:
    """Print rows of equal length to stdout. Cells are shown as they are: no markup, no escapes."""
    clean = [[printable(cell) for cell in row] for row in rows]
    console = Console()
    if console.is_terminal:
        _draw(console, clean, headings, title)
    else:
        _write(clean, headings, title)


def note(text: str) -> None:
    """Say something to the person who runs the command: on stderr, beside the result."""
    typer.echo(printable(text), err=True)


def printable(text: str) -> str:
    """The text in one line, each control, format and surrogate character as its escape.

    What a stranger put into a token must not move the cursor or turn the text around.
    """
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 - the BMP's end


def _draw(
    console: Console, rows: list[list[str]], headings: Sequence[str], title: str | None
) -> None:
    table = Table(
        title=None if title is None else Text(title),
        title_justify="left",
        show_header=bool(headings),
        show_edge=False,
    )
    for place in range(len(rows[0]) if rows else len(headings)):
        table.add_column(headings[place] if headings else "", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)


def _write(rows: list[list[str]], headings: Sequence[str], title: str | None) -> None:
    if title is not None:
        typer.echo(title)
    lines = [list(headings), *rows] if headings else rows
    widths = (
        [max(len(line[place]) for line in lines) for place in range(len(lines[0]))] if lines else []
    )
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())


def show_verdict(text: str, *, style: str) -> None:
    """Print a sentence that must not be overlooked; ``style`` is rich's, for terminals."""
    console = Console()
    if console.is_terminal:
        console.print(Text(printable(text), style=style))
    else:
        typer.echo(printable(text))
