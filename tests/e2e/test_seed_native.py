"""With its imports renamed, the same program needs no alias: it is run as any other."""

from __future__ import annotations

import sys
from pathlib import Path

import httpx

from tests.e2e.seed_program import RUNS, SEED, URL, served


def test_the_renamed_program_serves_by_itself(tmp_path: Path) -> None:
    (tmp_path / SEED.name).write_text(SEED.read_text().replace("agno", "licet"))
    with served([sys.executable, SEED.name], tmp_path) as seed:
        (agent,) = httpx.get(f"{URL}/agents", headers=seed.user()).json()
        assert agent["id"] == "research-agent"
        form = {"message": "hello", "stream": "false"}
        answer = httpx.post(RUNS, headers=seed.user(), data=form, timeout=60).json()
        assert answer["content"] == "You asked about AI news before."
