"""For tests and documents, ours and yours: scripted models and token factories."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from licet.testing.openai_server import OpenAIServer
    from licet.testing.scripted import CallTools, Fail, Say, ScriptedModel
    from licet.testing.tokens import TokenFactory, key_set

__all__ = ["CallTools", "Fail", "OpenAIServer", "Say", "ScriptedModel", "TokenFactory", "key_set"]

_HOMES = {
    "CallTools": "licet.testing.scripted",
    "Fail": "licet.testing.scripted",
    "OpenAIServer": "licet.testing.openai_server",
    "Say": "licet.testing.scripted",
    "ScriptedModel": "licet.testing.scripted",
    "TokenFactory": "licet.testing.tokens",
    "key_set": "licet.testing.tokens",
}


def __getattr__(name: str) -> Any:
    """Import on first use: a test pays for what it uses."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
