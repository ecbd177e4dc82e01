from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from licet.cli.token_input import token_of_argument, token_of_file
from licet.errors import ConfigurationError


class Input(io.TextIOWrapper):
    """Standard input: a pipe, or somebody at a terminal."""

    def __init__(self, content: bytes, *, terminal: bool) -> None:
        super().__init__(io.BytesIO(content))
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


@pytest.mark.parametrize("text", ["a.b.c", " a.b.c\n", "Bearer a.b.c", "bearer  a.b.c \n"])
def test_what_copying_leaves_around_a_token_is_taken_off(tmp_path: Path, text: str) -> None:
    file = tmp_path / "token"
    file.write_text(text)
    assert token_of_file(file) == b"a.b.c"
    assert token_of_argument(text) == b"a.b.c"


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("read", [lambda: token_of_file(Path("-")), lambda: token_of_argument("-")])
def test_a_dash_is_standard_input_and_who_sits_there_is_asked(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    read: Callable[[], bytes],
    *,
    terminal: bool,
) -> None:
    monkeypatch.setattr("sys.stdin", Input(b"Bearer a.b.c\n", terminal=terminal))
    assert read() == b"a.b.c"
    assert ("Paste the token" in capsys.readouterr().err) is terminal


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="none' cannot be read"):
        token_of_file(tmp_path / "none")
