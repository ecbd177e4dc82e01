"""Documents as programs: the blocks of a Markdown file are steps, run in their order.

A comment before a block says what it is:

    <!-- file: NAME -->        written to that file
    <!-- run -->               bash, has to succeed
    <!-- output -->            what the last run has to have printed
    <!-- background: URL -->   bash, goes on running; the next step waits until URL answers
    <!-- not run: REASON -->   not a step
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(
    r"^(?:<!-- (?P<kind>[a-z ]+?)(?:: (?P<what>.+?))? -->\n)?"
    r"```(?P<language>[a-z]*)\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
KINDS = frozenset(("file", "run", "output", "background", "not run"))
PICTURES = frozenset(("", "text"))


@dataclass(frozen=True)
class Step:
    """One block. ``kind`` is "" where nothing was said."""

    kind: str
    what: str
    language: str
    text: str
    line: int


def steps(document: Path) -> list[Step]:
    """The blocks of a document, in their order."""
    content = document.read_text()
    return [
        Step(
            kind=match["kind"] or "",
            what=match["what"] or "",
            language=match["language"],
            text=match["text"],
            line=content.count("\n", 0, match.start()) + 1,
        )
        for match in _BLOCK.finditer(content)
    ]
