from __future__ import annotations

import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from licet.cli.files import reserved, write_new
from licet.errors import ConfigurationError


def mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def test_a_new_file_is_the_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_new(tmp_path / "private.pem", "secret", mode=0o600, force=False)
    finally:
        os.umask(before)
    assert mode(tmp_path / "private.pem") == 0o600


def test_an_existing_file_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "private.pem"
    file.write_text("precious")
    with pytest.raises(ConfigurationError, match="exists"):
        write_new(file, "new", mode=0o600, force=False)
    assert file.read_text() == "precious"


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    elsewhere, link = tmp_path / "elsewhere", tmp_path / "private.pem"
    link.symlink_to(elsewhere)
    with pytest.raises(ConfigurationError, match="exists"):
        write_new(link, "new", mode=0o600, force=False)
    assert not elsewhere.exists()


def test_force_replaces_the_file_and_its_mode(tmp_path: Path) -> None:
    file = tmp_path / "private.pem"
    file.write_text("old")
    file.chmod(0o644)
    write_new(file, "new", mode=0o600, force=True)
    assert file.read_text() == "new"
    assert mode(file) == 0o600
    assert os.listdir(tmp_path) == ["private.pem"]  # noqa: PTH208 - the names are what is compared


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot be written: No such file"):
        write_new(tmp_path / "none" / "x", "new", mode=0o600, force=False)


def test_a_reserved_file_is_its_owners_alone_before_anything_is_in_it(tmp_path: Path) -> None:
    file, before = tmp_path / "token", os.umask(0)
    try:
        with reserved(file, mode=0o600) as write:
            assert mode(file) == 0o600
            write("secret\n")
    finally:
        os.umask(before)
    assert file.read_text() == "secret\n"


def test_what_fails_takes_its_reserved_file_away(tmp_path: Path) -> None:
    with pytest.raises(KeyError), reserved(tmp_path / "token", mode=0o600):
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_not_reserved(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("precious")
    with pytest.raises(ConfigurationError, match="exists; name a new file"):
        reserved(file, mode=0o600).__enter__()
    assert file.read_text() == "precious"


def test_a_place_where_nothing_can_be_made_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be written: No such file"):
        reserved(tmp_path / "none" / "x", mode=0o600).__enter__()


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    before, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, hard))


def test_what_finds_no_room_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigurationError, match="cannot be written: File too large"),
        reserved(tmp_path / "token", mode=0o600) as write,
        files_of_at_most(3),
    ):
        write("secret")
    assert list(tmp_path.iterdir()) == []
