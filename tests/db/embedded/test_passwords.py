from __future__ import annotations

import json
from pathlib import Path

from licet.db.embedded.passwords import Passwords


def test_a_password_is_generated_once_and_long(tmp_path: Path) -> None:
    passwords = Passwords(tmp_path / "passwords.json")
    assert passwords.get("r") is None
    made = passwords.make("r")
    assert len(made) >= 32
    assert passwords.make("r") == made
    assert passwords.make("other") != made
    assert Passwords(tmp_path / "passwords.json").get("r") == made


def test_the_file_is_its_owners_alone_from_the_start(tmp_path: Path) -> None:
    path = tmp_path / "passwords.json"
    Passwords(path).put("r", "x")
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["passwords.json"]


def test_a_write_that_was_cut_off_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "passwords.json"
    Passwords(path).put("a", "1")
    path.with_suffix(".half").write_text('{"a": "2"')
    Passwords(path).put("b", "2")
    assert json.loads(path.read_text()) == {"a": "1", "b": "2"}


def test_no_repr_has_a_password(tmp_path: Path) -> None:
    passwords = Passwords(tmp_path / "passwords.json")
    made = passwords.make("r")
    assert made not in repr(passwords) + repr(vars(passwords))
