from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from licet.agent import Agent
from licet.db.in_memory import InMemoryDb
from licet.os import AgentOS
from licet.os.garbage import seldom_collected, uncollected
from licet.testing import ScriptedModel


@pytest.fixture(autouse=True)
def settings() -> Iterator[tuple[int, int, int]]:
    """What the process has set, which is so again at the end."""
    before = gc.get_threshold()
    assert gc.isenabled()
    gc.unfreeze()
    yield before
    gc.enable()
    gc.set_threshold(*before)
    gc.unfreeze()


def test_what_was_there_before_is_left_out_and_the_rest_is_collected_seldom(
    settings: tuple[int, int, int],
) -> None:
    first, *others = settings
    with seldom_collected():
        assert gc.get_freeze_count() > 10_000
        assert gc.get_threshold() == (max(first, 5_000), *others)
    assert gc.get_freeze_count() == 0
    assert gc.get_threshold() == settings


@pytest.mark.parametrize("own", [0, 50_000])
def test_a_process_that_collects_still_less_goes_on_so(own: int) -> None:
    gc.set_threshold(own, 10, 10)
    with seldom_collected():
        assert gc.get_threshold() == (own, 10, 10)


def test_what_the_process_itself_has_left_out_stays_so() -> None:
    gc.freeze()
    with seldom_collected():
        pass
    assert gc.get_freeze_count() > 0


class Circle:
    """Garbage, once nobody holds it."""

    def __init__(self) -> None:
        self.itself = self


def test_what_is_garbage_before_is_not_left_out() -> None:
    gc.disable()
    seen = weakref.ref(Circle())
    assert seen() is not None
    with seldom_collected():
        assert seen() is None


async def test_it_is_so_while_a_server_is_up() -> None:
    db = InMemoryDb()
    app = AgentOS(agents=[Agent(id="a", model=ScriptedModel([]), db=db)], db=db).get_app()
    async with app.router.lifespan_context(app):
        assert gc.get_freeze_count() > 10_000
    assert gc.get_freeze_count() == 0


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
