from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licet.cli.output import note, printable, show_table, show_verdict

ROWS = [("GET", "/a"), ("DELETE", "/[bold]b")]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_piped_rows_are_aligned_text_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(ROWS, headings=("METHOD", "PATH"), title="Routes")
    assert capsys.readouterr().out == "Routes\nMETHOD  PATH\nGET     /a\nDELETE  /[bold]b\n"


def test_no_rows_are_no_lines(capsys: pytest.CaptureFixture[str]) -> None:
    show_table([])
    assert capsys.readouterr().out == ""


def test_at_a_terminal_a_table_is_drawn_and_markup_is_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    show_table(ROWS, headings=("METHOD", "PATH"), title="Routes")
    drawn = terminal.getvalue()
    assert "│" in drawn
    assert "\x1b[1m" in drawn
    assert "/[bold]b" in drawn


@pytest.mark.parametrize(("no_color", "green"), [("", True), ("1", False)])
def test_no_color_is_honoured(
    monkeypatch: pytest.MonkeyPatch, no_color: str, *, green: bool
) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", no_color)
    show_verdict("so it is", style="bold green")
    assert "so it is" in terminal.getvalue()
    assert ("32m" in terminal.getvalue()) is green


def test_a_piped_verdict_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    show_verdict("so it is", style="bold green")
    assert capsys.readouterr().out == "so it is\n"


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("a\x1b[2Jb", r"a\u001b[2Jb"),
        ("a\nb", r"a\u000ab"),
        ("a\u202eb", r"a\u202eb"),
        ("a\x9bb", r"a\u009bb"),
        ("a\U000e0001b", r"a\U000e0001b"),
        ("a\ud800b", r"a\ud800b"),
        ("naïve 東京", "naïve 東京"),
    ],
)
def test_characters_that_move_the_cursor_are_shown_as_escapes(hostile: str, shown: str) -> None:
    assert printable(hostile) == shown


@given(st.text(st.characters(codec=None)))
def test_what_is_printed_is_printable(text: str) -> None:
    assert printable(text).isprintable()


def test_a_note_goes_beside_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    note("look \x07 here")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "look \\u0007 here\n"
