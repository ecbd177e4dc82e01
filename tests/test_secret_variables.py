"""A secret is in a variable or in a file; what is wrong is told, what it holds never is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from licet.errors import ConfigurationError
from licet.secret_variables import Secret, find_secret, required_secret

NAME, FILE_NAME = "SHOP_KEY", "SHOP_KEY_FILE"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with a secret in it, as an editor leaves it."""
    path = tmp_path / "key"
    path.write_text("  of the file\r\n")
    return path


def test_it_stands_in_the_variable() -> None:
    assert find_secret(NAME, {NAME: " of the variable\n"}) == Secret("of the variable", NAME)


def test_it_stands_in_the_file_that_the_other_variable_names(file: Path) -> None:
    assert find_secret(NAME, {FILE_NAME: str(file)}) == Secret("of the file", FILE_NAME)


@pytest.mark.parametrize("environ", [{}, {NAME: ""}, {NAME: " \n", FILE_NAME: " "}])
def test_what_is_empty_is_not_set(environ: dict[str, str]) -> None:
    assert find_secret(NAME, environ) is None


def test_an_empty_variable_beside_a_file_is_no_contradiction(file: Path) -> None:
    assert required_secret(NAME, {NAME: "", FILE_NAME: str(file)}) == "of the file"


def test_both_at_once_are_refused(file: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"^{NAME} and {FILE_NAME} are both set") as caught:
        find_secret(NAME, {NAME: "of the variable", FILE_NAME: str(file)})
    assert "of the" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b" \r\n"])
def test_an_empty_file_is_refused(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    expected = re.escape(f"{FILE_NAME}: {str(file)!r} is empty")
    with pytest.raises(ConfigurationError, match=expected):
        find_secret(NAME, {FILE_NAME: str(file)})


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("none", "cannot be read: No such file or directory"),
        (".", "cannot be read: Is a directory"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, why: str) -> None:
    path = str(tmp_path / name)
    with pytest.raises(ConfigurationError, match=f"^{FILE_NAME}: '.*' {why}$"):
        find_secret(NAME, {FILE_NAME: path})


def test_a_file_that_is_no_secret_is_not_read_to_its_end() -> None:
    with pytest.raises(ConfigurationError, match=f"^{FILE_NAME}: '/dev/zero' holds more"):
        find_secret(NAME, {FILE_NAME: "/dev/zero"})


def test_bytes_that_are_no_text_are_kept(file: Path) -> None:
    # The last two are a space to text, and none to bytes.
    secret = b"\xff\x00 \xc2\xa0"
    file.write_bytes(secret + b"\n")
    found = find_secret(NAME, {FILE_NAME: str(file)})
    assert found is not None
    assert found.encode() == secret


def test_it_is_not_shown() -> None:
    assert "hidden" not in repr(find_secret(NAME, {NAME: "hidden"}))


def test_what_a_program_needs_and_has_not_is_said_with_both_ways() -> None:
    with pytest.raises(ConfigurationError, match=f"^{NAME} is not set: set it, or {FILE_NAME}"):
        required_secret(NAME, {})


def test_it_is_looked_for_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, "of the environment")
    assert required_secret(NAME) == "of the environment"
