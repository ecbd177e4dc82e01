"""Toolkit: tools that belong together; and the tools of an agent, by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from licet.errors import ConfigurationError
from licet.tools.function import Function


class Toolkit:
    """Tools under one name, often methods of a subclass that share its settings.

    A subclass hands over bound methods (``tools=[self.search]``), or decorates methods with
    ``@tool``: those are registered by themselves.

    Args:
        name: of the kit, for people and messages.
        tools: functions and ``Function``s.
        instructions: when and how to use the kit; stands in the agent's system message.
        include_tools: only tools of these names are registered.
        exclude_tools: tools of these names are not.

    Raises:
        ConfigurationError: a tool cannot be used, two have one name, or a name in
            ``include_tools`` or ``exclude_tools`` is no tool of this kit.
    """

    def __init__(
        self,
        name: str = "toolkit",
        tools: Sequence[Callable[..., Any]] = (),
        *,
        instructions: str | None = None,
        include_tools: Collection[str] | None = None,
        exclude_tools: Collection[str] | None = None,
    ) -> None:
        self.name = name
        self.instructions = instructions
        self._names = _Names()
        for each in tools:
            self.register(each)
        for method in _decorated_methods(self):
            given = self.functions.get(method.name)
            if given is None or given.entrypoint != method.entrypoint:
                self.register(method)
        self._select("include_tools", include_tools, kept=True)
        self._select("exclude_tools", exclude_tools, kept=False)

    @property
    def functions(self) -> Mapping[str, Function]:
        """The tools by name, in the order of registration."""
        return MappingProxyType(self._names.functions)

    def register(self, fn: Callable[..., Any]) -> Function:
        """Add a tool. Agents that were made before do not see it.

        Raises:
            ConfigurationError: it cannot be used, or its name is taken.
        """
        function = _usable(fn)
        self._names.add(function, function.origin)
        return function

    def _select(self, setting: str, names: Collection[str] | None, *, kept: bool) -> None:
        if names is None:
            return
        functions = self._names.functions
        if isinstance(names, str) or not set(names) <= set(functions):
            known = ", ".join(functions) or "none"
            raise ConfigurationError(
                f"Toolkit {self.name!r}: {setting}={names!r} must be names of its tools: {known}"
            )
        for name in [name for name in functions if (name in names) is not kept]:
            del functions[name]


Tool = Callable[..., Any] | Function | Toolkit
"""What an agent takes as a tool."""


def collect(tools: Sequence[Tool] | None) -> Mapping[str, Function]:
    """All tools of a list by name, those of toolkits included, in their order.

    Raises:
        ConfigurationError: something is no tool, or two tools have one name; both are named.
    """
    names = _Names()
    for each in tools or ():
        if isinstance(each, Toolkit):
            for function in each.functions.values():
                names.add(function, f"{function.origin} of toolkit {each.name!r}")
        else:
            function = _usable(each)
            names.add(function, function.origin)
    return MappingProxyType(names.functions)


def toolkit_instructions(tools: Sequence[Tool] | None) -> tuple[str, ...]:
    """The instructions of the toolkits in a list, in their order."""
    return tuple(
        each.instructions for each in tools or () if isinstance(each, Toolkit) and each.instructions
    )


class _Names:
    """Tools by name, and where each came from; no name twice."""

    def __init__(self) -> None:
        self.functions: dict[str, Function] = {}
        self._origins: dict[str, str] = {}

    def add(self, function: Function, origin: str) -> None:
        name = function.name
        if name in self.functions:
            raise ConfigurationError(
                f"Two tools are named {name!r}: {self._origins[name]} and {origin}; "
                "leave one out, or rename it with @tool(name=...)"
            )
        self.functions[name] = function
        self._origins[name] = origin


def _usable(fn: Any) -> Function:
    if isinstance(fn, Toolkit):
        raise ConfigurationError(f"Toolkit {fn.name!r} cannot be a tool of another toolkit")
    function = fn if isinstance(fn, Function) else Function.from_callable(fn)
    if function.needs_binding:
        raise ConfigurationError(
            f"{function.origin} is a method without its object; pass it from an instance, "
            "e.g. tools=[thing.method]"
        )
    return function


def _decorated_methods(kit: Toolkit) -> Iterator[Function]:
    """Methods of the kit's classes that are tools, base classes first, each bound to the kit."""
    names: dict[str, None] = {}
    for cls in reversed(type(kit).__mro__):
        names.update(dict.fromkeys(vars(cls)))
    for name in names:
        declared = inspect.getattr_static(type(kit), name)
        if isinstance(declared, staticmethod | classmethod):
            declared = declared.__func__
        if isinstance(declared, Function):
            yield getattr(kit, name)
