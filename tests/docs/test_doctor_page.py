"""The page of the doctor knows every code, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from licet.doctor.checks import KINDS

PAGE = Path(__file__).parents[2] / "docs" / "doctor.md"
ROW = re.compile(r"^\| `([a-z_]+)` \| (warning|problem) \| [^|]+ \| [^|]+ \|$", re.MULTILINE)


def test_every_code_is_explained_with_its_level_in_the_order_of_the_checks() -> None:
    assert ROW.findall(PAGE.read_text()) == [(kind.code, kind.level.value) for kind in KINDS]
