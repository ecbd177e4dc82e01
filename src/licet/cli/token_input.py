"""Tokens as commands are given them: as an argument, in a file, on standard input."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from licet.small_files import read_small

STDIN = "-"
_MAX_BYTES = 1024 * 1024
_SCHEME = b"bearer "


def token_of_argument(text: str) -> bytes:
    """The token that an argument is; ``-``: it is read from standard input."""
    return _token_of_stdin() if text == STDIN else _bare(text.encode("utf-8", "surrogateescape"))


def token_of_file(file: Path) -> bytes:
    """The token that a file holds; ``-``: it is read from standard input.

    Raises:
        ConfigurationError: the file cannot be read.
    """
    return _token_of_stdin() if str(file) == STDIN else _bare(read_small(file))


def _token_of_stdin() -> bytes:
    if sys.stdin.isatty():
        typer.echo("Paste the token, then Enter and Ctrl-D.", err=True)
    return _bare(sys.stdin.buffer.read(_MAX_BYTES))


def _bare(given: bytes) -> bytes:
    """The token without what copying leaves around it."""
    given = given.strip()
    has_scheme = given[: len(_SCHEME)].lower() == _SCHEME
    return given[len(_SCHEME) :].strip() if has_scheme else given
