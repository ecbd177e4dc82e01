"""Function: a Python callable that a model may call."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from licet.context import RunContext
from licet.errors import ConfigurationError, ToolArgumentsError
from licet.models.base import ToolSchema
from licet.tools.requirement import Requirement, Wait
from licet.tools.schema import Arguments, SignatureArguments, documentation, read_signature
from licet.tools.text import ajoined, as_text, bounded, joined
from licet.tools.thread import run_in_thread

__all__ = ["DEFAULT_MAX_RESULT_CHARS", "Function", "ToolResult"]

DEFAULT_MAX_RESULT_CHARS = 100_000
"""How much of a result a model gets to read, unless a tool says otherwise."""

_MAX_ERROR_CHARS = 2_000
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")

_log = logging.getLogger("licet.tools")


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What came of one call: the text for the model, and whether it tells of a failure."""

    content: str
    error: bool
    duration_seconds: float


@dataclass(frozen=True, eq=False)
class Function:
    """A tool, prepared once and shared by all runs. Made by ``@tool`` or ``from_callable``.

    It stays an ordinary callable: ``function(...)`` runs the entry point as plain Python, and as an
    attribute of a class it binds to the instance like a method.

    Args:
        name: how models call it: 1 to 64 letters, digits, ``_`` and ``-``.
        description: what it does, for the model.
        arguments: what it takes.
        entrypoint: the callable; synchronous ones run in a thread of their own.
        stop_after_tool_call: the run ends with this tool's result as its answer.
        max_result_chars: a longer result is cut, with a note.
        requirement: what has to be decided before a call; None: nothing.
        clock: seconds that only go forward, for durations.

    Raises:
        ConfigurationError: the name cannot be used, or ``max_result_chars`` is below 1.
    """

    name: str
    description: str
    arguments: Arguments = field(repr=False)
    entrypoint: Callable[..., Any] = field(repr=False)
    stop_after_tool_call: bool = False
    max_result_chars: int = DEFAULT_MAX_RESULT_CHARS
    requirement: Requirement | None = None
    clock: Callable[[], float] = field(default=time.perf_counter, repr=False)
    schema: ToolSchema = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ConfigurationError(
                f"Tool name {self.name!r}: 1 to 64 letters, digits, _ and - are allowed; "
                "give another with @tool(name=...)"
            )
        if self.max_result_chars < 1:
            raise ConfigurationError(f"Tool {self.name!r}: max_result_chars is at least 1")
        parameters = self._parameters_for_models()
        object.__setattr__(self, "schema", ToolSchema(self.name, self.description, parameters))

    @classmethod
    def from_callable(
        cls,
        fn: Callable[..., Any],
        *,
        name: str | None = None,
        description: str | None = None,
        stop_after_tool_call: bool = False,
        max_result_chars: int = DEFAULT_MAX_RESULT_CHARS,
        requirement: Requirement | None = None,
    ) -> Function:
        """Make a tool of a function, method, ``functools.partial`` or callable object.

        Args:
            fn: the callable. Its type hints become the schema, its docstring (Google, Sphinx or
                NumPy style) the descriptions.
            name: the callable's own name when absent.
            description: the docstring's text before its first section when absent.
            stop_after_tool_call: see the class.
            max_result_chars: see the class.
            requirement: see the class.

        Raises:
            ConfigurationError: the name or a parameter cannot be used; the message names it.
        """
        if isinstance(fn, type) or not callable(fn):
            raise ConfigurationError(f"{fn!r} is no function: a tool is made of a callable")
        chosen = _name_of(fn) if name is None else name
        return cls(
            name=chosen,
            description=documentation(fn).description if description is None else description,
            arguments=read_signature(fn, name=chosen),
            entrypoint=fn,
            stop_after_tool_call=stop_after_tool_call,
            max_result_chars=max_result_chars,
            requirement=requirement,
        )

    @property
    def user_fields(self) -> Mapping[str, Mapping[str, Any]]:
        """The parameters that the run's owner fills in, with the JSON schema of each."""
        if self.requirement is None or self.requirement.wait is not Wait.USER_INPUT:
            return {}
        known: Mapping[str, Mapping[str, Any]] = self.arguments.json_schema.get("properties", {})
        names = self.requirement.user_fields or tuple(known)
        return {name: known[name] for name in names}

    def _parameters_for_models(self) -> dict[str, Any]:
        """The JSON schema of the arguments without those that people give.

        Raises:
            ConfigurationError: people are to give one that there is not, or none.
        """
        whole = self.arguments.json_schema
        if self.requirement is None or self.requirement.wait is not Wait.USER_INPUT:
            return whole
        known = whole.get("properties", {})
        unknown = [name for name in self.requirement.user_fields if name not in known]
        if unknown or not known:
            raise ConfigurationError(
                f"Tool {self.name!r}: user_input_fields={self.requirement.user_fields!r} must be "
                f"among its parameters: {', '.join(known) or 'it has none'}"
            )
        theirs = self.user_fields
        return {
            **whole,
            "properties": {name: known[name] for name in known if name not in theirs},
            "required": [name for name in whole.get("required", []) if name not in theirs],
        }

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The JSON schema of what models give, of type object. Shared: it must not be changed."""
        return self.schema.parameters

    @property
    def needs_binding(self) -> bool:
        """Whether it is a method that still lacks its instance."""
        return isinstance(self.arguments, SignatureArguments) and self.arguments.receiver

    @property
    def origin(self) -> str:
        """Where the entry point was defined, for messages."""
        target = self.entrypoint
        while isinstance(target, functools.partial):
            target = target.func
        if not hasattr(target, "__qualname__"):
            target = type(target)
        return f"{target.__module__}.{target.__qualname__}"

    def parse_arguments(self, text: str) -> dict[str, Any]:
        """The model's JSON text as validated keyword arguments.

        Raises:
            ToolArgumentsError: it does not fit the schema; the message is written for the model.
        """
        return self.arguments.read(text)

    async def call(self, arguments_text: str, context: RunContext) -> ToolResult:
        """Run the tool as a model asked for it.

        Whatever the tool raises becomes a result with ``error=True`` and is logged; only the
        cancellation of the run and KeyboardInterrupt pass through. A cancelled call does not wait
        for a synchronous tool: its thread finishes on its own.

        Args:
            arguments_text: JSON text exactly as the model wrote it.
            context: goes to the tool's parameter of type ``RunContext``, if it has one.
        """
        begin = self.clock()
        try:
            arguments = self.parse_arguments(arguments_text)
            if self.arguments.context_parameter is not None:
                arguments[self.arguments.context_parameter] = context
            content = bounded(await self._run(arguments), max_chars=self.max_result_chars)
            failed = False
        except ToolArgumentsError as error:
            content, failed = bounded(str(error), max_chars=_MAX_ERROR_CHARS), True
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and _being_cancelled():
                raise
            # SystemExit too: a tool must not end the server that it runs in.
            _log.exception("The tool %r failed", self.name)
            content, failed = _failure(error), True
        return ToolResult(content, failed, self.clock() - begin)

    async def _run(self, arguments: dict[str, Any]) -> str:
        limit = self.max_result_chars
        if _is_asynchronous(self.entrypoint):
            value = self.entrypoint(**arguments)
        else:

            def work() -> Any:
                value = self.entrypoint(**arguments)
                if isinstance(value, Iterator):
                    return joined(value, max_chars=limit)
                # A wrapper may hand out what only the event loop can finish.
                return value if _is_unfinished(value) else as_text(value)

            value = await run_in_thread(work)
        if isinstance(value, Awaitable):
            value = await value
        if isinstance(value, AsyncIterator):
            return await ajoined(value, max_chars=limit)
        return joined(value, max_chars=limit) if isinstance(value, Iterator) else as_text(value)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the entry point as plain Python: nothing is validated, bounded or caught."""
        return self.entrypoint(*args, **kwargs)

    def __get__(self, instance: object, owner: type | None = None) -> Function:
        if instance is None or not self.needs_binding:
            return self
        bound = self.entrypoint.__get__(instance, owner)
        arguments = replace(self.arguments, receiver=False)  # type: ignore[type-var]  # needs_binding checked that it is a SignatureArguments
        return replace(self, entrypoint=bound, arguments=arguments)


def _name_of(fn: Callable[..., Any]) -> str:
    while isinstance(fn, functools.partial):
        fn = fn.func
    name = getattr(fn, "__name__", None)
    return name if isinstance(name, str) else type(fn).__name__


def _is_asynchronous(fn: Callable[..., Any]) -> bool:
    while isinstance(fn, functools.partial):
        fn = fn.func
    if not inspect.isroutine(fn):
        fn = type(fn).__call__
    return inspect.iscoroutinefunction(fn) or inspect.isasyncgenfunction(fn)


def _is_unfinished(value: Any) -> bool:
    return isinstance(value, Awaitable | AsyncIterator)


def _being_cancelled() -> bool:
    """Whether somebody cancels the current task; else the tool raised it by itself."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def _failure(error: BaseException) -> str:
    try:
        message = as_text(str(error))
    except Exception:  # noqa: BLE001 - an error whose text fails must not hide that there was one
        message = "(its message cannot be read)"
    name = type(error).__name__
    text = f"{name}: {message}" if message else name
    return bounded(text, max_chars=_MAX_ERROR_CHARS)
