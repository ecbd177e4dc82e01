"""What a docstring says of its function and of each parameter: Google, Sphinx and NumPy style."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

_PARAMETER_SECTIONS = {"args", "arguments", "keyword args", "parameters", "params"}
_OTHER_SECTIONS = {
    "attributes",
    "example",
    "examples",
    "note",
    "notes",
    "raises",
    "references",
    "return",
    "returns",
    "see also",
    "warning",
    "warnings",
    "yield",
    "yields",
}

# "name: text", "name (type): text", "name(type, optional): text"; one level of nested parentheses.
_GOOGLE_ENTRY = re.compile(r"\*{0,2}(\w+)\s*(?:\((?:[^()]|\([^()]*\))*\))?\s*:(?:\s+|$)(.*)")
_SPHINX_PARAMETER = re.compile(r":(?:param|parameter|arg|argument)\s+(?:[^:]*\s)?\*{0,2}(\w+):(.*)")
_SPHINX_FIELD = re.compile(r":[a-z]+(?:\s[^:]*)?:")
# A name, a name with its type behind a colon, or several names that share one.
_NUMPY_ENTRY = re.compile(r"(\*{0,2}\w+(?:\s*,\s*\*{0,2}\w+)*)\s*(?::.*)?")


@dataclass(frozen=True, slots=True)
class Docstring:
    """The text before the first section, and one text a documented parameter."""

    description: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)


def parse_docstring(text: str | None) -> Docstring:
    """Read a docstring. Whatever it does not understand is left out; it never fails.

    Args:
        text: a docstring as written, or None.
    """
    lines = inspect.cleandoc(text or "").splitlines()
    description: list[str] = []
    parameters: dict[str, str] = {}
    place = 0
    while place < len(lines):
        title, body_start, numpy = _heading(lines, place)
        if title is not None:
            body_end = _section_end(lines, body_start, numpy=numpy)
            if title in _PARAMETER_SECTIONS:
                body = lines[body_start:body_end]
                parameters.update(_numpy_entries(body) if numpy else _google_entries(body))
            place = body_end
        elif _SPHINX_FIELD.match(lines[place]):
            place = _read_sphinx(lines, place, parameters)
        else:
            # Text after a section belongs to no parameter; only what comes first describes.
            if place == len(description):
                description.append(lines[place])
            place += 1
    return Docstring("\n".join(description).strip(), parameters)


def _heading(lines: list[str], place: int) -> tuple[str | None, int, bool]:
    """(title, first line of the body, NumPy style?); the title is None where no section starts."""
    line = lines[place].rstrip()
    title = line.removesuffix(":").lower()
    if title not in _PARAMETER_SECTIONS | _OTHER_SECTIONS:
        return None, place, False
    underline = lines[place + 1].strip() if place + 1 < len(lines) else ""
    if len(underline) > 2 and not underline.strip("-"):  # noqa: PLR2004 - a rule has three dashes
        return title, place + 2, True
    if line.endswith(":"):
        return title, place + 1, False
    return None, place, False


def _section_end(lines: list[str], start: int, *, numpy: bool) -> int:
    for place in range(start, len(lines)):
        line = lines[place]
        if not line.strip():
            continue
        if _heading(lines, place)[0] is not None:
            return place
        if not numpy and not line[0].isspace():
            return place
    return len(lines)


def _google_entries(body: list[str]) -> Iterator[tuple[str, str]]:
    indents = [_indent(line) for line in body if line.strip()]
    first = min(indents, default=0)
    name, text = "", [""]
    for line in body:
        entry = _GOOGLE_ENTRY.fullmatch(line.strip()) if _indent(line) == first else None
        if entry is not None:
            yield from _entry(name, text)
            name, text = entry[1], [entry[2]]
        else:
            text.append(line)
    yield from _entry(name, text)


def _numpy_entries(body: list[str]) -> Iterator[tuple[str, str]]:
    names: list[str] = []
    text: list[str] = []
    for line in [*body, "end"]:
        if line.strip() and _indent(line) == 0:
            for name in names:
                yield from _entry(name, text)
            entry = _NUMPY_ENTRY.fullmatch(line.rstrip())
            names = [name.strip(" *") for name in entry[1].split(",")] if entry else []
            text = []
        else:
            text.append(line)


def _read_sphinx(lines: list[str], place: int, parameters: dict[str, str]) -> int:
    """Read one field with its continuation lines; answers the line after it."""
    end = place + 1
    while end < len(lines) and lines[end].strip() and lines[end][0].isspace():
        end += 1
    if (entry := _SPHINX_PARAMETER.match(lines[place])) is not None:
        parameters.update(_entry(entry[1], [entry[2], *lines[place + 1 : end]]))
    return end


def _entry(name: str, text: list[str]) -> Iterator[tuple[str, str]]:
    joined = " ".join(" ".join(text).split())
    if name and joined:
        yield name, joined


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
