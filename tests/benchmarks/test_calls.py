from __future__ import annotations

import pytest

from benchmarks.calls import ForwardedCall, Run, StreamedRun
from benchmarks.load import Call
from licet.testing.openai_script import Answer, numbered_text, stream_events

TOKENS = 3
TEXT = numbered_text(TOKENS)


def event(name: str, content: str) -> bytes:
    """One event of a run."""
    return b'event: %b\ndata: {"event":"%b","content":"%b"}\n\n' % (
        name.encode(),
        name.encode(),
        content.encode(),
    )


WORDS = ["word0", " word1", " word2"]
CONTENT = b"".join(event("RunContent", word) for word in WORDS)
END = event("RunCompleted", TEXT)
RUN = Run(token="t", tokens=TOKENS)
STREAMED = StreamedRun(token="t", tokens=TOKENS)
FORWARDED = ForwardedCall(token="t", tokens=TOKENS)
CHUNKS = stream_events(Answer(text=TEXT), "scripted")
PLAIN = b'{"status":"%b","content":"%b"}'


def test_right_answers_pass() -> None:
    RUN.check(200, PLAIN % (b"COMPLETED", TEXT.encode()))
    STREAMED.check(200, event("RunStarted", "") + CONTENT + END)
    FORWARDED.check(200, b"".join(CHUNKS))


@pytest.mark.parametrize(
    ("call", "status", "body"),
    [
        (RUN, 200, PLAIN % (b"ERROR", TEXT.encode())),
        (RUN, 200, PLAIN % (b"COMPLETED", b"word0")),
        (RUN, 500, PLAIN % (b"COMPLETED", TEXT.encode())),
        (STREAMED, 500, CONTENT + END),
        (STREAMED, 200, CONTENT),
        (STREAMED, 200, CONTENT + event("RunContent", "more") + END),
        (STREAMED, 200, CONTENT.replace(b"word1", b"word7") + END),
        (STREAMED, 200, event("RunContent", TEXT) + END),
        (STREAMED, 200, CONTENT + event("RunCompleted", "word0")),
        (STREAMED, 200, CONTENT + event("RunError", TEXT)),
        (FORWARDED, 200, b"".join(CHUNKS[:-1])),
        (FORWARDED, 200, b"".join(CHUNKS[2:])),
        (FORWARDED, 502, b"".join(CHUNKS)),
    ],
)
def test_wrong_answers_do_not(call: Call, status: int, body: bytes) -> None:
    with pytest.raises(AssertionError):
        call.check(status, body)


def test_each_run_has_a_session_of_its_own() -> None:
    assert len({STREAMED.request() for _ in range(100)}) == 100
