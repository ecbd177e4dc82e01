from __future__ import annotations

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from licet.models.growing_text import GrowingText, ToldText


@given(st.lists(st.text(max_size=3), max_size=300))
def test_it_is_all_that_was_added_in_its_order(pieces: list[str]) -> None:
    text = GrowingText()
    for place, piece in enumerate(pieces):
        assert str(text) == "".join(pieces[:place])
        text.add(piece)
    assert str(text) == "".join(pieces)


def test_it_is_true_as_soon_as_there_is_something() -> None:
    text = GrowingText()
    assert not text
    for _ in range(1_000):
        text.add("word ")
        assert text


def test_what_is_told_is_kept() -> None:
    told: list[str] = []
    text = ToldText(told.append)
    text("one ")
    text("two")
    assert told == ["one ", "two"]
    assert str(text) == "one two"


def test_many_words_take_little_more_room_than_their_letters() -> None:
    text = GrowingText()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(10_000):
            text.add(f"{number:04} ")
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(str(text)) == 50_000
    assert after - before < 80_000
