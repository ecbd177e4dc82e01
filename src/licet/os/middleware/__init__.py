"""ASGI middleware of the chain."""

from __future__ import annotations

from licet.authn.token_source import TokenSource

__all__ = ["TokenSource"]
