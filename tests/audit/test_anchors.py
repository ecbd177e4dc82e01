from __future__ import annotations

import json
import logging
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licet.audit.anchors import Anchor, AnchorFile, AnchorLog, AnchorSink, anchors_in

ANCHOR = Anchor(writer_id="w", writer_number=2, seq=7, hash="ab", time_us=5)
SIGNED = Anchor(
    writer_id="w",
    writer_number=2,
    seq=7,
    hash="ab",
    time_us=5,
    key_id="k",
    signature="s",
)
_NUMBERS = st.integers(0, 2**70)
ANCHORS = st.builds(
    Anchor,
    writer_id=st.text(max_size=40),
    writer_number=_NUMBERS,
    seq=_NUMBERS,
    hash=st.text(max_size=70),
    time_us=_NUMBERS,
    key_id=st.none() | st.text(max_size=9),
    signature=st.none() | st.text(max_size=90),
)


@given(ANCHORS)
def test_an_anchor_is_read_back_as_it_was(anchor: Anchor) -> None:
    line = anchor.line()
    assert line.isascii()
    assert "\n" not in line
    assert list(anchors_in([line, line + "\n", line + "\r\n"])) == [anchor] * 3


@pytest.mark.parametrize(
    "prefix",
    [
        "INFO:     [-] ",
        "2026-01-01T00:00:00Z licet.audit.anchors ",
        '{"a": 1} ',
        '{"licet_audit_',
        '{"licet_audit_anchor":1,"writer_id":',
    ],
)
def test_what_stands_before_an_anchor_does_not_matter(prefix: str) -> None:
    assert list(anchors_in([prefix + SIGNED.line() + "\n"])) == [SIGNED]


def test_a_log_is_read_whatever_else_is_in_it() -> None:
    lines = ["", "\n", "hello", ANCHOR.line(), "INFO GET /", "\0\ud800", "x" + SIGNED.line()]
    assert list(anchors_in(lines)) == [ANCHOR, SIGNED]


def line(**changes: Any) -> str:
    given = {"licet_audit_anchor": 1, **json.loads(SIGNED.line()), **changes}
    return json.dumps({name: value for name, value in given.items() if value != "gone"})


JUNK = {
    "cut off": SIGNED.line()[:-1],
    "cut off early": SIGNED.line()[:25],
    "its mark alone": '{"licet_audit_anchor"',
    "no object of ours": '{"licet_audit_anchor":1}',
    "of another version": line(licet_audit_anchor=2),
    "a number as text": line(seq="7"),
    "a number that is true": line(writer_number=True),
    "a number with a fraction": line(time_us=5.5),
    "a number below zero": line(seq=-1),
    "a writer below zero": line(writer_number=-1),
    "an infinite number": SIGNED.line().replace('"seq":7', '"seq":Infinity'),
    "a number of many digits": SIGNED.line().replace('"seq":7', f'"seq":{"7" * 5000}'),
    "no writer": line(writer_id=None),
    "a writer that is a list": line(writer_id=["w"]),
    "a hash that is none": line(hash=5),
    "a key that is a number": line(key_id=5),
    "a signature that is a number": line(signature=5),
    "a signature that is a list": line(signature=["s"]),
    "one member too many": line(more=1),
    "one member too few": line(hash="gone"),
    "deep": '{"licet_audit_anchor":' + "[" * 100_000,
    "something behind it": SIGNED.line() + " from 127.0.0.1",
    "within another text": f"denied 401 GET '/{SIGNED.line()}' from 127.0.0.1: no token",
    "two on a line": SIGNED.line() + SIGNED.line() + ".",
    "escaped": json.dumps(SIGNED.line()),
}


@pytest.mark.parametrize("which", JUNK)
def test_what_is_no_anchor_is_passed_over(which: str) -> None:
    assert list(anchors_in([JUNK[which], ANCHOR.line()])) == [ANCHOR]


def test_a_path_that_a_client_asks_for_is_no_anchor_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Else anybody could let writers be missed that never were."""
    from licet.os.denial import log_denial

    caplog.set_level(logging.INFO, "licet")
    scope = {"type": "http", "method": "GET", "path": "/" + ANCHOR.line(), "client": None}
    log_denial(scope, status=401, detail="no token")
    (said,) = caplog.messages
    assert ANCHOR.line() in said
    assert list(anchors_in([said])) == []


@given(st.sampled_from(("writer_id", "writer_number", "seq", "hash", "time_us")), st.data())
def test_what_is_signed_covers_all_of_an_anchor(name: str, data: st.DataObject) -> None:
    value = getattr(ANCHOR, name)
    other = data.draw((_NUMBERS if isinstance(value, int) else st.text()).filter(value.__ne__))
    changed = Anchor(**{**json.loads(json.dumps(_values(ANCHOR))), name: other})
    assert changed.message() != ANCHOR.message()


def test_the_key_and_the_signature_are_not_part_of_what_is_signed() -> None:
    assert SIGNED.message() == ANCHOR.message()


def _values(anchor: Anchor) -> dict[str, Any]:
    return {name: getattr(anchor, name) for name in Anchor.__dataclass_fields__}


async def test_a_file_gets_a_line_for_each_and_is_its_owners_alone(tmp_path: Path) -> None:
    file = tmp_path / "anchors.jsonl"
    for anchor in (ANCHOR, SIGNED):
        await AnchorFile(file).keep(anchor)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text() == f"{ANCHOR.line()}\n{SIGNED.line()}\n"
    with file.open() as lines:
        assert list(anchors_in(lines)) == [ANCHOR, SIGNED]


async def test_a_file_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        await AnchorFile(tmp_path / "nowhere" / "anchors").keep(ANCHOR)


async def test_the_log_gets_a_line_for_each(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "licet")
    await AnchorLog().keep(SIGNED)
    assert [r.name for r in caplog.records] == ["licet.audit.anchors"]
    assert list(anchors_in(caplog.messages)) == [SIGNED]


@pytest.mark.parametrize("sink", [AnchorLog(), AnchorFile("x")], ids=["log", "file"])
def test_either_keeps_anchors(sink: object) -> None:
    assert isinstance(sink, AnchorSink)
