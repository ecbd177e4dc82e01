from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from licet.os.collection import uncollected


@pytest.fixture(autouse=True)
def collecting() -> Iterator[None]:
    """Others want it turned on again."""
    assert gc.isenabled()
    yield
    gc.enable()


def test_nothing_is_collected_inside_of_the_block_whatever_ends_it() -> None:
    with uncollected():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(LookupError), uncollected():
        raise LookupError
    assert gc.isenabled()


def test_of_two_blocks_the_outer_one_counts() -> None:
    with uncollected():
        with uncollected():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()


def test_a_process_that_has_turned_it_off_keeps_it_so() -> None:
    gc.disable()
    with uncollected():
        pass
    assert not gc.isenabled()
