"""ASGI middleware of the chain."""
