from __future__ import annotations

from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licet.errors import InvalidInputError
from licet.os.urlencoded import urlencoded_fields

texts = st.text(st.characters(codec="utf-8"), max_size=20)


@given(st.lists(st.tuples(texts, texts), max_size=5))
async def test_a_form_is_read_as_it_was_written(fields: list[tuple[str, str]]) -> None:
    assert await urlencoded_fields(urlencode(fields).encode()) == fields


@given(st.binary(max_size=40).filter(lambda body: b";" not in body))
async def test_any_bytes_are_read_as_the_common_decoder_reads_them(body: bytes) -> None:
    try:
        found = await urlencoded_fields(body)
    except InvalidInputError:
        return
    assert found == parse_qsl(body.decode(), keep_blank_values=True)


@pytest.mark.parametrize("shift", range(4))
async def test_long_values_are_not_cut_within_an_escape(shift: int) -> None:
    value = "x" * shift + "ä" * 50_000
    assert await urlencoded_fields(urlencode({"a": value}).encode()) == [("a", value)]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"a=1&" * 1000, "at most 1000 fields"),
        (b"&" * 100_000, "at most 1000 fields"),
        (b"a=%FF", "UTF-8"),
        (b"\xff=1", "UTF-8"),
    ],
)
async def test_what_is_too_much_or_no_text_is_refused(body: bytes, expected: str) -> None:
    with pytest.raises(InvalidInputError, match=expected) as caught:
        await urlencoded_fields(body)
    assert caught.value.field == "body"
