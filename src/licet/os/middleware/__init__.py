"""ASGI middleware of the chain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from licet.authn.token_source import TokenSource

if TYPE_CHECKING:
    from licet.os.middleware.jwt import JWTMiddleware

__all__ = ["JWTMiddleware", "TokenSource"]


def __getattr__(name: str) -> Any:
    # It stands around the whole chain, parts of which are in this package.
    if name == "JWTMiddleware":
        from licet.os.middleware.jwt import JWTMiddleware

        return JWTMiddleware
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
