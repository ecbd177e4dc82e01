"""The garbage collector of a process that serves: it looks at what comes and goes, seldom."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_YOUNG_OBJECTS = 5_000
"""How many objects come to be before the youngest are looked at. Python's own number is 700."""


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Inside of the block, what was there before it is left out of every collection.

    A program that serves holds some 100,000 objects that stay: modules, classes, routes. Looking at
    all of them takes up to a tenth of a second, in which nobody is answered, and comes again within
    each thousand requests. A process that collects still less by its own settings keeps these.
    """
    first, *others = gc.get_threshold()
    frozen_before = gc.get_freeze_count() > 0
    gc.freeze()
    if 0 < first < _YOUNG_OBJECTS:
        gc.set_threshold(_YOUNG_OBJECTS, *others)
    try:
        yield
    finally:
        gc.set_threshold(first, *others)
        if not frozen_before:
            gc.unfreeze()
