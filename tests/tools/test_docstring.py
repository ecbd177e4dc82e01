from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licet.tools.docstring import parse_docstring

GOOGLE = """Look a city up.

    Only large ones are known.

    Args:
        city (str): the city's
            name, in English.
        options(dict[str, tuple(int, int)], optional): what else: a mapping.
        *rest: more.
        undescribed:

    Returns:
        str: the weather.
    """

SPHINX = """Look a city up.

    Only large ones are known.

    :param city: the city's
        name, in English.
    :param dict options: what else: a mapping.
    :type city: str
    :returns: the weather.
    """

NUMPY = """Look a city up.

    Only large ones are known.

    Parameters
    ----------
    city : str
        the city's
        name, in English.
    options
        what else: a mapping.

    Returns
    -------
    str
        the weather.
    """


@pytest.mark.parametrize("text", [GOOGLE, SPHINX, NUMPY], ids=["google", "sphinx", "numpy"])
def test_each_style_gives_the_description_and_the_parameters(text: str) -> None:
    read = parse_docstring(text)

    assert read.description == "Look a city up.\n\nOnly large ones are known."
    assert read.parameters["city"] == "the city's name, in English."
    assert read.parameters["options"] == "what else: a mapping."
    assert "weather" not in " ".join(read.parameters.values())


def test_variadic_parameters_are_named_without_their_stars() -> None:
    assert parse_docstring(GOOGLE).parameters["rest"] == "more."


def test_a_parameter_without_text_is_left_out() -> None:
    assert "undescribed" not in parse_docstring(GOOGLE).parameters


def test_numpy_names_that_share_a_line_share_the_text() -> None:
    read = parse_docstring("Draw.\n\nParameters\n----------\nx, y : int\n    A coordinate.\n")

    assert read.parameters == {"x": "A coordinate.", "y": "A coordinate."}


def test_a_colon_in_plain_text_starts_no_section() -> None:
    read = parse_docstring("Convert units.\n\nKnown are: metres and feet.\nReturns nothing new.")

    assert read.description.endswith("Known are: metres and feet.\nReturns nothing new.")
    assert read.parameters == {}


def test_text_after_a_section_is_neither_description_nor_parameter() -> None:
    read = parse_docstring("First.\n\nArgs:\n    x: a number.\n\nAfterwards.")

    assert read.description == "First."
    assert read.parameters == {"x": "a number."}


def test_no_docstring_is_no_text() -> None:
    assert parse_docstring(None).description == ""


LINES = st.sampled_from(
    [
        "Args:",
        "Parameters",
        "---",
        "    x: y",
        "  x (a(b)): y",
        "x : int",
        ":param x: y",
        "",
        "word",
    ]
)


@given(st.lists(LINES | st.text(), max_size=12))
def test_reading_never_fails_and_never_invents_text(lines: list[str]) -> None:
    text = "\n".join(lines)
    read = parse_docstring(text)

    texts = [read.description, *read.parameters, *read.parameters.values()]
    assert all(word in text.expandtabs() for each in texts for word in each.split())
