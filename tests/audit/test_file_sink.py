from __future__ import annotations

import asyncio
import fcntl
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from licet.audit.event import AuditEvent
from licet.audit.file_sink import FileSink, why_unwritable
from licet.audit.sink import AuditSink
from tests.audit.events import event, events, until

WRITES_MANY = """
import asyncio, sys
from licet.audit.file_sink import FileSink
from tests.audit.events import event

async def main():
    sink, name = FileSink(sys.argv[1], fsync=False), sys.argv[2]
    print("ready", flush=True)
    sys.stdin.readline()
    for batch in range(60):
        await sink.write([event(batch * 40 + n, subject=name * 50) for n in range(40)])

asyncio.run(main())
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def read(file: Path) -> list[AuditEvent]:
    return [msgspec.json.decode(line, type=AuditEvent) for line in file.read_bytes().splitlines()]


@pytest.mark.parametrize("fsync", [True, False])
async def test_each_event_is_a_line_of_json(file: Path, *, fsync: bool) -> None:
    sink, given = FileSink(file, fsync=fsync), [*events(1, 2), event(3, reason="ö\n\0", status=403)]
    await sink.start()
    assert file.read_bytes() == b""
    await sink.write(given[:2])
    await sink.write(given[2:])
    await sink.close()
    assert read(file) == given
    assert file.read_bytes().count(b"\n") == 3


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
async def test_it_is_made_for_its_owner_alone(file: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        await FileSink(file).start()
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_what_stood_there_stays(file: Path) -> None:
    file.write_text("before\n")
    await FileSink(file).start()
    await FileSink(file).write([event()])
    assert file.read_text().startswith("before\n{")


async def test_a_line_that_was_cut_off_spoils_no_other(file: Path) -> None:
    sink = FileSink(file)
    await sink.write([event(1)])
    with file.open("ab") as cut:
        cut.write(b'{"time_us":1,"reas')
    await sink.write(events(2, 3))
    lines = file.read_bytes().splitlines()
    assert lines.pop(1) == b'{"time_us":1,"reas'
    assert [msgspec.json.decode(line, type=AuditEvent) for line in lines] == events(1, 3)


async def test_a_file_that_is_rotated_is_made_anew(file: Path) -> None:
    sink, old = FileSink(file), file.with_suffix(".1")
    await sink.write([event(1)])
    file.rename(old)
    await sink.write([event(2)])
    assert (read(old), read(file)) == ([event(1)], [event(2)])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_no_file_stays_open(file: Path) -> None:
    sink = FileSink(file)
    await sink.start()
    await sink.write([event()])
    held = [link.readlink() for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    assert file not in held


def unwritable(file: Path) -> FileSink:
    return FileSink(file.parent / "nowhere" / "audit.jsonl")


def a_folder(file: Path) -> FileSink:
    return FileSink(file.parent)


def full(file: Path) -> FileSink:
    return FileSink("/dev/full")


@pytest.mark.parametrize("made", [unwritable, a_folder], ids=lambda made: made.__name__)
async def test_what_cannot_be_written_is_told_at_the_start(
    file: Path, made: Callable[[Path], FileSink]
) -> None:
    with pytest.raises(OSError, match=r"audit\.jsonl|Is a directory"):
        await made(file).start()


async def test_a_write_that_fails_is_told(file: Path) -> None:
    with pytest.raises(OSError, match="No space left"):
        await full(file).write([event()])


async def test_a_write_is_done_over_until_all_is_written(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A system may take less than it is given (POSIX, write)."""
    write, sizes = os.write, []

    def write_little(descriptor: int, data: memoryview) -> int:
        sizes.append(write(descriptor, data[:7]))
        return sizes[-1]

    monkeypatch.setattr(os, "write", write_little)
    await FileSink(file).write(events(1, 3))
    monkeypatch.undo()
    assert len(sizes) > 100
    assert read(file) == events(1, 3)


def test_two_processes_write_one_file_line_by_line(file: Path) -> None:
    names = ("ab", "yz")
    started = [
        subprocess.Popen(
            [sys.executable, "-c", WRITES_MANY, str(file), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in names
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in started:
        process.communicate("go\n", timeout=60)
        assert process.returncode == 0
    found = read(file)
    for name in names:
        mine = [e.request_id for e in found if e.subject == name * 50]
        assert mine == [f"request-{n}" for n in range(2400)]
    assert len(found) == 4800


async def test_a_line_that_another_is_writing_is_waited_for(file: Path) -> None:
    """Else it would be taken for one that was cut off."""
    sink = FileSink(file)
    with file.open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        other.write(b'{"a":')
        other.flush()
        writing = asyncio.create_task(sink.write([event()]))
        await until(lambda: somebody_waits_for(file), what="it waits for the file")
        other.write(b"1}\n")
    await writing
    first, second = file.read_bytes().splitlines()
    assert first == b'{"a":1}'
    assert msgspec.json.decode(second, type=AuditEvent) == event()


def somebody_waits_for(file: Path) -> bool:
    """What the kernel says (proc(5), /proc/locks)."""
    inode = f":{file.stat().st_ino} "
    locks = Path("/proc/locks").read_text().splitlines()
    return any("-> FLOCK" in line and inode in line for line in locks)


def test_it_is_a_sink() -> None:
    assert isinstance(FileSink("x"), AuditSink)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("audit.jsonl", None),
        ("there.jsonl", None),
        ("folder", "it cannot be written"),
        ("missing/audit.jsonl", "it cannot be made in the folder"),
        ("there.jsonl/audit.jsonl", "it cannot be made in the folder"),
        ("x" * 300, "File name too long"),
    ],
)
def test_whether_a_file_can_be_written_is_known_before(
    tmp_path: Path, name: str, reason: str | None
) -> None:
    (tmp_path / "there.jsonl").touch()
    (tmp_path / "folder").mkdir()
    sink = FileSink(tmp_path / name)
    found = why_unwritable(sink.path)
    assert found is None if reason is None else (found or "").startswith(reason)
    assert not (tmp_path / "audit.jsonl").exists()


def test_rights_are_asked_for(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Root may everything, and tests are run as root, too.
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert why_unwritable(file) == f"it cannot be made in the folder {str(file.parent)!r}"
    file.touch()
    assert why_unwritable(file) == "it cannot be written"
