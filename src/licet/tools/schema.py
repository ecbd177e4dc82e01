"""The arguments of a tool: a JSON schema from its signature, and values from a model's JSON text.

Everything about a signature is worked out once, when a tool is made; a call only validates.
"""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PydanticUserError,
    TypeAdapter,
    ValidationError,
    create_model,
)
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema

from licet.context import RunContext
from licet.errors import ConfigurationError, ToolArgumentsError
from licet.tools.docstring import Docstring, parse_docstring

_MAX_REPORTED_ERRORS = 10
_MAX_NAME_CHARS = 64
_SCHEMA_MAPS = frozenset({"$defs", "dependentSchemas", "patternProperties", "properties"})
# What pydantic raises for a type, or a constraint on it, that it can do nothing with.
_UNUSABLE = (PydanticUserError, TypeError)
_SCHEMA_VALUES = frozenset({"const", "default", "enum", "example", "examples", "required"})


class Arguments(Protocol):
    """What a function takes: how a model is told, and how its answer is read."""

    @property
    def json_schema(self) -> dict[str, Any]:
        """A JSON schema of type object. Shared: it must not be changed."""

    @property
    def context_parameter(self) -> str | None:
        """The parameter that receives the ``RunContext``, if there is one."""

    def read(self, text: str) -> dict[str, Any]:
        """Keyword arguments from JSON text.

        Raises:
            ToolArgumentsError: the text does not fit; the message is written for the model.
        """


@dataclass(frozen=True, slots=True)
class SignatureArguments:
    """Arguments as a Python signature declares them.

    ``model`` has one field a parameter, named by its position, so that a parameter may have any
    name (``json``, ``_id``) without meeting pydantic's own; the alias is the parameter's name.
    ``receiver`` says that the first parameter is ``self`` or ``cls``: it is left to the binding.
    """

    model: type[BaseModel]
    json_schema: dict[str, Any]
    names: tuple[str, ...]
    filled: frozenset[str]
    context_parameter: str | None
    receiver: bool

    def read(self, text: str) -> dict[str, Any]:
        """Validate JSON text, by pydantic's lax rules (``"3"`` is an integer).

        An empty text is no arguments. Parameters that the model left out are left out here too:
        the function's own defaults apply.

        Raises:
            ToolArgumentsError: names each wrong argument and what was expected.
        """
        try:
            values = self.model.model_validate_json(text.strip() or "{}")
        except ValidationError as error:
            raise ToolArgumentsError(self._complaint(error)) from None
        given = values.model_fields_set
        return {
            name: getattr(values, field_name)
            for field_name, name in zip(type(values).model_fields, self.names, strict=True)
            if field_name in given or name in self.filled
        }

    def _complaint(self, error: ValidationError) -> str:
        errors = error.errors(include_url=False, include_context=False, include_input=False)
        known = ", ".join(self.names) or "none"
        lines = []
        for each in errors[:_MAX_REPORTED_ERRORS]:
            where = ".".join(_shortened(str(part)) for part in each["loc"])
            match each["type"]:
                case "json_invalid" | "string_unicode" if not where:
                    lines.append(f"the arguments are not valid JSON ({each['msg']})")
                case "model_type" if not where:
                    lines.append("the arguments must be one JSON object")
                case "missing":
                    lines.append(f"{where}: missing, it is required")
                case "extra_forbidden":
                    lines.append(f"{where}: unknown argument; known are: {known}")
                case _:
                    lines.append(f"{where}: {each['msg']}")
        if len(errors) > _MAX_REPORTED_ERRORS:
            lines.append(f"and {len(errors) - _MAX_REPORTED_ERRORS} more")
        return "Wrong arguments. " + "; ".join(lines)


def read_signature(function: Callable[..., Any], *, name: str) -> SignatureArguments:
    """Work out the arguments of a function, bound method, partial or callable object.

    A parameter annotated ``RunContext`` is left out of the schema, and so are ``*args``,
    ``**kwargs`` (no model can fill them) and what a ``functools.partial`` has bound. A parameter
    without an annotation takes any JSON value.

    Args:
        function: the callable.
        name: the tool's name, for messages.

    Raises:
        ConfigurationError: a parameter cannot be given by name, or its type not as JSON.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"Tool {name!r}: its signature cannot be read: {error}") from None
    hints = _type_hints(function, name)
    docs = documentation(function).parameters
    fields: dict[str, Any] = {}
    names: list[str] = []
    filled: set[str] = set()
    context_parameter: str | None = None
    receiver = False
    for position, parameter in enumerate(_offered(signature, function, name)):
        if position == 0 and parameter.name in {"self", "cls"} and parameter.name not in hints:
            receiver = True
            continue
        annotation = hints.get(parameter.name, Any)
        if _is_context(annotation):
            context_parameter = parameter.name
            continue
        if isinstance(parameter.default, FieldInfo):
            filled.add(parameter.name)
        fields[f"p{len(names)}"] = _field(parameter, annotation, docs)
        names.append(parameter.name)
    model = _model(fields, name)
    return SignatureArguments(
        model=model,
        json_schema=_json_schema(model, fields, name),
        names=tuple(names),
        filled=frozenset(filled),
        context_parameter=context_parameter,
        receiver=receiver,
    )


def documentation(function: Callable[..., Any]) -> Docstring:
    """The docstring of a callable; of a partial its function's, of an object its ``__call__``'s."""
    target = _target(function)
    text = inspect.getdoc(target)
    if not text and target is not function and not isinstance(function, functools.partial):
        text = inspect.getdoc(type(function))
    return parse_docstring(text)


def _target(function: Callable[..., Any]) -> Callable[..., Any]:
    """Where the annotations and the docstring of a callable are."""
    while isinstance(function, functools.partial):
        function = function.func
    if inspect.isroutine(function):
        return function
    return type(function).__call__


def _type_hints(function: Callable[..., Any], name: str) -> dict[str, Any]:
    try:
        return typing.get_type_hints(_target(function), include_extras=True)
    except NameError as error:
        raise ConfigurationError(
            f"Tool {name!r}: the type {error.name!r} of its signature is not known in its module; "
            "import or define it there at run time, not only under TYPE_CHECKING"
        ) from None
    except Exception as error:  # annotations are expressions: evaluating them may fail in any way
        raise ConfigurationError(f"Tool {name!r}: its annotations are no types: {error}") from error


def _offered(
    signature: inspect.Signature, function: Callable[..., Any], name: str
) -> Iterator[inspect.Parameter]:
    """The parameters that can be passed by name and are not bound already."""
    # A bound value is the program's, often a secret: no model may see or replace it.
    bound = function.keywords if isinstance(function, functools.partial) else {}
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise ConfigurationError(
                f"Tool {name!r}: parameter {parameter.name!r} is positional-only, but arguments of "
                "tools are passed by name; remove the / from the signature"
            )
        variadic = parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}
        if not variadic and parameter.name not in bound:
            yield parameter


def _is_context(annotation: Any) -> bool:
    if typing.get_origin(annotation) is Annotated:
        annotation = typing.get_args(annotation)[0]
    if typing.get_origin(annotation) in {typing.Union, types.UnionType}:
        return RunContext in typing.get_args(annotation)
    return annotation is RunContext


def _field(
    parameter: inspect.Parameter, annotation: Any, docs: Mapping[str, str]
) -> tuple[Any, FieldInfo]:
    settings: dict[str, Any] = {"alias": parameter.name}
    if isinstance(parameter.default, FieldInfo):
        annotation = Annotated[annotation, parameter.default]
    elif parameter.default is not parameter.empty:
        settings["default"] = parameter.default
    declared = FieldInfo.from_annotation(annotation).description
    if declared is None and parameter.name in docs:
        settings["description"] = docs[parameter.name]
    return annotation, Field(**settings)


def _model(fields: dict[str, Any], name: str) -> type[BaseModel]:
    config = ConfigDict(extra="forbid", protected_namespaces=())
    try:
        return create_model("Arguments", __config__=config, **fields)
    except _UNUSABLE as error:
        raise _untold(fields, name, error) from None


def _json_schema(model: type[BaseModel], fields: dict[str, Any], name: str) -> dict[str, Any]:
    try:
        schema = model.model_json_schema(schema_generator=_SchemaGenerator)
    except _UNUSABLE as error:
        raise _untold(fields, name, error) from None
    untitled: dict[str, Any] = _without_titles(schema)
    # Providers want the key also where there are no parameters.
    untitled.setdefault("properties", {})
    return untitled


def _untold(fields: dict[str, Any], name: str, error: Exception) -> ConfigurationError:
    """The error for a type that has no JSON form, naming the parameter that has it."""
    for annotation, settings in fields.values():
        try:
            TypeAdapter(annotation).json_schema()
        except _UNUSABLE:
            return ConfigurationError(
                f"Tool {name!r}: parameter {settings.alias!r} is a {annotation!r}, which cannot be "
                "given as JSON; use plain types, dataclasses or pydantic models"
            )
    return ConfigurationError(f"Tool {name!r}: its parameters have no JSON schema: {error}")


class _SchemaGenerator(GenerateJsonSchema):
    # A default without a JSON form stays with the function; the model need not know it.
    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012 - pydantic's own declaration

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - pydantic's signature
        return False


def _without_titles(schema: Any) -> Any:
    """The schema without ``title`` keywords. Properties named "title" and values stay."""
    if isinstance(schema, list):
        return [_without_titles(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    kept: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _SCHEMA_VALUES:
            kept[key] = value
        elif key in _SCHEMA_MAPS:
            kept[key] = {name: _without_titles(each) for name, each in value.items()}
        elif key != "title":
            kept[key] = _without_titles(value)
    return kept


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_NAME_CHARS else text[:_MAX_NAME_CHARS] + "…"
