"""The garbage collector of a process that serves: it looks at what comes and goes, and seldom."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_YOUNG_OBJECTS = 5_000
"""How many objects come to be before the youngest are looked at. Python's own number is 700."""


@contextmanager
def uncollected() -> Iterator[None]:
    """Inside of the block nothing is looked through for garbage: for while a server starts.

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


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Inside of the block, what was there before it is left out of every collection.

    A program that serves holds some 100,000 objects that stay: modules, classes, routes. Looking at
    all of them takes up to a tenth of a second, in which nobody is answered, and comes again within
    each thousand requests. A process that collects still less by its own settings keeps these.
    """
    first, *others = gc.get_threshold()
    frozen_before = gc.get_freeze_count() > 0
    # What is garbage now would be left out, too, and stay.
    gc.collect()
    gc.freeze()
    if 0 < first < _YOUNG_OBJECTS:
        gc.set_threshold(_YOUNG_OBJECTS, *others)
    try:
        yield
    finally:
        gc.set_threshold(first, *others)
        if not frozen_before:
            gc.unfreeze()
