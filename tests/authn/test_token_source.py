from __future__ import annotations

import pytest

from licet.authn.token_source import TokenSource


@pytest.mark.parametrize("text", ["header", "cookie", "both"])
def test_a_source_can_be_given_as_text(text: str) -> None:
    assert TokenSource(text) == text


def test_there_is_no_other() -> None:
    with pytest.raises(ValueError, match="'query' is not a valid TokenSource"):
        TokenSource("query")
