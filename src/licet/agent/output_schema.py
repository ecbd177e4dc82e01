"""The form that an answer must have: a pydantic model, or a JSON schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from pydantic import BaseModel, ValidationError

from licet.agent.nesting import MAX_JSON_DEPTH, deeper_than
from licet.agent.schema_check import schema_problems
from licet.errors import InvalidInputError, OutputSchemaError
from licet.models.base import OutputFormat

MAX_SCHEMA_BYTES = 64 * 1024
MAX_SCHEMA_DEPTH = 32
MAX_SCHEMA_PARTS = 2000
"""Objects and lists: checking each against the schema of schemas takes a third of a millisecond."""


@dataclass(frozen=True, slots=True)
class OutputSchema:
    """A schema ready for use: what to ask the model for, and how to read its answer."""

    format: OutputFormat
    model: type[BaseModel] | None = None

    @classmethod
    def of(cls, schema: type[BaseModel] | Mapping[str, Any]) -> OutputSchema:
        """Prepare a pydantic model class or a JSON schema of type object.

        Raises:
            InvalidInputError: not a usable schema, with remote references, or too large or deep.
        """
        if isinstance(schema, type) and issubclass(schema, BaseModel):
            return cls(OutputFormat(schema.__name__, schema.model_json_schema()), schema)
        if not isinstance(schema, Mapping):
            raise InvalidInputError("output_schema", "a pydantic model class or a JSON schema")
        checked = dict(schema)
        _check(checked)
        title = checked.get("title")
        return cls(OutputFormat(_identifier(title), checked))

    def read(self, text: str) -> Any:
        """The answer as a value of the schema: a model instance, or plain JSON values.

        Raises:
            OutputSchemaError: the text is no JSON, or does not fit; the message is for the model.
        """
        if self.model is not None:
            try:
                return self.model.model_validate_json(_without_fence(text))
            except ValidationError as error:
                problems = "; ".join(
                    f"{'.'.join(map(str, e['loc'])) or 'the answer'}: {e['msg']}"
                    for e in error.errors(include_url=False, include_context=False)
                )
                raise OutputSchemaError(f"The answer does not fit the schema: {problems}") from None
        try:
            value = msgspec.json.decode(_without_fence(text))
        except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
            raise OutputSchemaError(f"The answer is not JSON: {error}") from None
        if deeper_than(value, MAX_JSON_DEPTH):
            raise OutputSchemaError(f"The answer is nested deeper than {MAX_JSON_DEPTH} levels")
        self._validate(value)
        return value

    def _validate(self, value: Any) -> None:
        problems = schema_problems(self.format.schema, value)
        if problems:
            raise OutputSchemaError(f"The answer does not fit the schema: {'; '.join(problems)}")


def _check(schema: dict[str, Any]) -> None:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    try:
        size_bytes = len(msgspec.json.encode(schema))
    except (TypeError, ValueError, RecursionError):
        raise InvalidInputError("output_schema", "JSON values only") from None
    if size_bytes > MAX_SCHEMA_BYTES:
        raise InvalidInputError("output_schema", f"at most {MAX_SCHEMA_BYTES} bytes of JSON")
    parts = 0
    for depth, key, value in _walk(schema):
        parts += isinstance(value, Mapping | list)
        if parts > MAX_SCHEMA_PARTS:
            raise InvalidInputError(
                "output_schema", f"at most {MAX_SCHEMA_PARTS} objects and lists"
            )
        if depth > MAX_SCHEMA_DEPTH:
            raise InvalidInputError("output_schema", f"at most {MAX_SCHEMA_DEPTH} levels deep")
        # A reference to elsewhere would let whoever sends a schema make the server fetch it.
        if key in {"$ref", "$dynamicRef", "$schema", "$id"} and isinstance(value, str):
            local = value.startswith("#") or (key == "$schema" and "json-schema.org/" in value)
            if not local:
                raise InvalidInputError("output_schema", f"no remote {key} ({value[:80]!r})")
    if schema.get("type") != "object":
        raise InvalidInputError("output_schema", 'a JSON schema whose "type" is "object"')
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise InvalidInputError("output_schema", f"a JSON schema: {error.message[:200]}") from None


def _walk(value: Any) -> Iterator[tuple[int, str | None, Any]]:
    """Every value with its depth and key, without recursion: depth is what is being bounded."""
    waiting: list[tuple[int, str | None, Any]] = [(0, None, value)]
    while waiting:
        item = waiting.pop()
        yield item
        depth, _, inner = item
        if isinstance(inner, Mapping):
            waiting.extend((depth + 1, key, part) for key, part in inner.items())
        elif isinstance(inner, list):
            waiting.extend((depth + 1, None, part) for part in inner)


def _identifier(title: Any) -> str:
    name = "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "_" for c in str(title))
    return name[:64] if isinstance(title, str) and name else "answer"


def _without_fence(text: str) -> str:
    """Models like to wrap JSON in a Markdown fence even when told not to."""
    stripped = text.strip()
    if stripped.startswith("```") and stripped.endswith("```"):
        return stripped[3:-3].removeprefix("json").strip()
    return stripped
