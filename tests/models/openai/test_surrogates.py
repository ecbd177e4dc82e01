from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from licet.models.openai.surrogates import SurrogateJoiner, repair, repair_tree

_ANY_TEXT = st.text(st.sampled_from("aé😀\ud83d\ude00\udbff\udc00\ud800\udfff"))


@given(st.lists(_ANY_TEXT))
def test_pieces_come_out_as_the_whole_text_repaired(pieces: list[str]) -> None:
    joiner = SurrogateJoiner()

    out = [joiner.feed(piece) for piece in pieces]

    assert "".join(out) + joiner.flush() == repair("".join(pieces))


@given(st.lists(_ANY_TEXT))
def test_no_piece_holds_a_lone_surrogate(pieces: list[str]) -> None:
    joiner = SurrogateJoiner()

    for piece in [*(joiner.feed(piece) for piece in pieces), joiner.flush()]:
        piece.encode()


@given(st.text())
def test_whole_text_is_left_as_it_is(text: str) -> None:
    assert repair(text) == text


def test_halves_are_joined_and_lone_ones_replaced() -> None:
    assert repair("\ud83d\ude00") == "😀"
    assert repair("a\ud83db\ude00c") == "a\ufffdb\ufffdc"


def test_a_tree_is_repaired_throughout() -> None:
    tree = {"a\ud83d": ["\ude00", 1, None, ({"b": "\ud83d\ude00"},)]}

    assert repair_tree(tree) == {"a\ufffd": ["\ufffd", 1, None, [{"b": "😀"}]]}
