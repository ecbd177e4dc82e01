"""Dependencies: the values that an agent's tools are given for one run."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any


async def resolved(dependencies: Mapping[str, Any]) -> dict[str, Any]:
    """Dependencies with callables called: a value may be made anew for each run."""
    values: dict[str, Any] = {}
    for name, value in dependencies.items():
        made = value() if callable(value) else value
        values[name] = await made if inspect.isawaitable(made) else made
    return values
