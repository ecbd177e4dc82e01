"""Garbage collection, put off while a server is put together and starts."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Inside of the block nothing is looked through for garbage.

    What a start makes stays, modules and routes and tables: to look through all of it each time
    that it has grown takes a tenth of a start. For what is short: it holds for the whole process.
    A process that has collection turned off keeps it so.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
