"""A key set in a file: read again when it changes, and never worse than the last good one."""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from licet.authn.jwks_file import JwksFile
from licet.errors import ConfigurationError
from licet.testing import TokenFactory

ONE, TWO = (TokenFactory(fresh_key=True, key_id=name).jwk for name in ("one", "two"))


class File:
    """The file, and clocks that a test moves."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now = 1_000_000.0
        self.ticks = 0.0

    def write(self, *keys: Any, text: str | None = None) -> None:
        self.path.write_text(json.dumps({"keys": keys}) if text is None else text)
        # Long ago, and each time another moment.
        self.ticks += 10
        os.utime(self.path, (self.ticks, self.ticks))

    def source(self) -> JwksFile:
        return JwksFile(
            self.path, allowed=["RS256"], now=lambda: self.now, monotonic=lambda: self.ticks
        )


@pytest.fixture
def file(tmp_path: Path) -> File:
    made = File(tmp_path / "jwks.json")
    made.write(ONE)
    return made


def names(source: JwksFile) -> list[str]:
    return [key.key_id for key in source.current().keys]


async def test_a_change_is_seen_and_the_set_is_the_same_object_until_then(file: File) -> None:
    source = file.source()
    await source.start()
    before = source.current()
    file.ticks += 10
    assert source.current() is before
    file.write(ONE, TWO)
    assert names(source) == ["one", "two"]
    file.write(TWO)
    assert names(source) == ["two"]
    same = source.current()
    file.write(TWO)
    assert source.current() is same
    await source.close()


async def test_it_is_looked_at_once_a_second_or_when_a_key_is_missing(file: File) -> None:
    source = file.source()
    began = file.ticks
    file.write(TWO)
    file.ticks = began + 0.9
    assert names(source) == ["one"]
    assert await source.refetch() is True
    assert names(source) == ["two"]
    assert await source.refetch() is False


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were read."""
    found: list[Path] = []
    really = Path.open

    def opened(path: Path, mode: str = "r", **how: Any) -> Any:
        if mode == "rb":
            found.append(path)
        return really(path, mode, **how)

    monkeypatch.setattr(Path, "open", opened)
    return found


async def test_a_storm_of_unknown_keys_is_one_look_in_an_interval(
    file: File, readings: list[Path]
) -> None:
    source = file.source()
    # Dated ahead, and so young for as long as it takes: each look is a reading.
    os.utime(file.path, (file.now + 3600, file.now + 3600))
    del readings[:]
    assert await asyncio.gather(*(source.refetch() for _ in range(1000))) == [False] * 1000
    assert len(readings) == 1
    began = time.monotonic()
    file.write(TWO)
    # Who comes within the interval waits for its end, and misses nothing.
    assert await asyncio.gather(*(source.refetch() for _ in range(1000))) == [True] * 1000
    assert len(readings) == 2
    for _ in range(4):
        await source.refetch()
    assert len(readings) <= 2 + (time.monotonic() - began) / 0.25


@pytest.mark.parametrize("bad", ["{", '{"keys": {}}'])
async def test_a_file_that_is_no_set_is_not_read_again_for_each_unknown_key(
    file: File, readings: list[Path], bad: str
) -> None:
    source = file.source()
    file.write(text=bad)
    del readings[:]
    for _ in range(5):
        file.ticks += 10
        assert await source.refetch() is False
        assert names(source) == ["one"]
    assert len(readings) == 1
    file.write(ONE, TWO)
    assert await source.refetch() is True


async def test_a_file_that_may_be_read_again_is(
    file: File, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    source = file.source()
    file.write(TWO)

    def closed(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", closed)
        file.ticks += 10
        assert await source.refetch() is False
    assert "in force: Permission denied" in caplog.text
    # Its rights were given back, of which its date and its size tell nothing.
    file.ticks += 10
    assert await source.refetch() is True
    assert names(source) == ["two"]


def test_a_link_that_is_set_to_another_file_is_a_change(tmp_path: Path) -> None:
    old, new = File(tmp_path / "old.json"), File(tmp_path / "new.json")
    old.write(ONE)
    new.write(TWO)
    link = File(tmp_path / "link.json")
    link.path.symlink_to(old.path)
    source = link.source()
    (tmp_path / "next").symlink_to(new.path)
    (tmp_path / "next").replace(link.path)
    link.ticks += 10
    assert names(source) == ["two"]


def test_a_file_that_is_being_written_is_read_once_more(file: File) -> None:
    source = file.source()
    file.write(TWO)
    stamp = file.path.stat().st_mtime
    file.now = stamp + 1
    assert names(source) == ["two"]
    # The same length and the same moment: only its youth tells.
    file.path.write_text(file.path.read_text().replace('"two"', '"new"'))
    os.utime(file.path, (stamp, stamp))
    file.ticks += 10
    assert names(source) == ["new"]
    file.now = stamp + 100
    file.ticks += 10
    assert names(source) == ["new"]


@pytest.mark.parametrize("bad", ["", "{", '{"keys": {}}', "gone", "pipe"])
def test_what_cannot_be_read_leaves_the_last_good_keys_and_is_said_once(
    file: File, bad: str, caplog: pytest.LogCaptureFixture
) -> None:
    source = file.source()
    if bad in {"gone", "pipe"}:
        file.path.unlink()
        if bad == "pipe":
            os.mkfifo(file.path)
    else:
        file.write(text=bad)
    for _ in range(3):
        file.ticks += 10
        assert names(source) == ["one"]
    assert caplog.text.count("the last good keys stay in force") == 1
    file.path.unlink(missing_ok=True)
    file.write(TWO)
    assert names(source) == ["two"]
    assert "can be read again" in caplog.text


def test_skipped_keys_are_said_once_for_each_set(
    file: File, caplog: pytest.LogCaptureFixture
) -> None:
    file.write(ONE, {"kty": "unknown"})
    source = file.source()
    file.write(TWO, {"kty": "unknown"})
    for _ in range(3):
        file.ticks += 10
        source.current()
    assert caplog.text.count("skipped keys[1]") == 2


def test_an_emptied_file_takes_all_keys_back(file: File, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    source = file.source()
    file.write()
    assert names(source) == []
    assert not source.current().incomplete
    assert "the keys are now: none" in caplog.text


def test_a_set_of_which_no_key_can_be_used_takes_the_others_back_too(
    file: File, caplog: pytest.LogCaptureFixture
) -> None:
    source = file.source()
    file.write({**TWO, "alg": "PS256"}, {"kty": "RSA"})
    for _ in range(3):
        file.ticks += 10
        assert names(source) == []
        assert not source.current().incomplete
    (error,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "no token is taken: no key that can be used: keys[0]: it serves PS256" in error.message
    assert "keys[1]: its member 'n'" in error.message
    file.write(TWO)
    assert names(source) == ["two"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "No such file"),
        ("{", "not JSON"),
        ('{"keys": []}', "empty"),
        ('{"keys": [{"kty": "RSA"}]}', "no key that can be used"),
    ],
)
def test_a_file_that_is_bad_from_the_start_refuses_to_start(
    file: File, text: str | None, said: str
) -> None:
    if text is None:
        file.path.unlink()
    else:
        file.path.write_text(text)
    with pytest.raises(ConfigurationError, match=said) as refused:
        file.source()
    assert str(file.path) in str(refused.value)
