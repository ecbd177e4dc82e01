from __future__ import annotations

from typing import Any

import pytest

from licet.context import RunContext
from licet.errors import ConfigurationError
from licet.tools import Toolkit, tool
from licet.tools.toolkit import Tool, collect, toolkit_instructions

CONTEXT = RunContext(run_id="r", session_id="s", agent_id="a")


def one() -> str:
    return "one"


@tool
def two() -> str:
    return "two"


class Greeter(Toolkit):
    def __init__(self, greeting: str, **settings: Any) -> None:
        self.greeting = greeting
        super().__init__("greeter", [self.part], **settings)

    @tool
    def greet(self, name: str) -> str:
        """Greet somebody."""
        return f"{self.greeting} {name}"

    @tool(name="wave")
    @staticmethod
    def _wave() -> str:
        return "o/"

    @classmethod
    @tool
    def kind(cls) -> str:
        return cls.__name__

    def part(self) -> str:
        return "bye"


def test_functions_and_tools_are_registered_in_order() -> None:
    kit = Toolkit("kit", [one, two])

    assert list(kit.functions) == ["one", "two"]


async def test_methods_work_on_their_own_kit() -> None:
    english, latin = Greeter("hello"), Greeter("salve")

    assert (
        await english.functions["greet"].call('{"name": "Ada"}', CONTEXT)
    ).content == "hello Ada"
    assert (await latin.functions["greet"].call('{"name": "Ada"}', CONTEXT)).content == "salve Ada"
    assert english.greet("Ada") == "hello Ada"


async def test_bound_decorated_static_and_class_methods_are_registered() -> None:
    functions = Greeter("hello").functions

    assert list(functions) == ["part", "greet", "wave", "kind"]
    for name, content in (("part", "bye"), ("wave", "o/"), ("kind", "Greeter")):
        assert (await functions[name].call("", CONTEXT)).content == content


def test_an_overridden_method_replaces_the_tool() -> None:
    class Louder(Greeter):
        @tool
        def greet(self, name: str, times: int = 2) -> str:
            return name * times

    class Silent(Greeter):
        greet = None  # type: ignore[assignment]  # taken out

    assert "times" in Louder("x").functions["greet"].parameters["properties"]
    assert "greet" not in Silent("x").functions


def test_a_decorated_method_that_is_also_listed_is_one_tool() -> None:
    class Kit(Toolkit):
        def __init__(self) -> None:
            super().__init__("kit", [self.act])

        @tool
        def act(self) -> None: ...

    assert list(Kit().functions) == ["act"]


def test_tools_can_be_registered_later() -> None:
    kit = Toolkit("kit")

    assert kit.register(one) is kit.functions["one"]


def test_tools_can_be_included_and_excluded() -> None:
    assert list(Greeter("x", include_tools=["greet", "wave"]).functions) == ["greet", "wave"]
    assert list(Greeter("x", exclude_tools=["greet"]).functions) == ["part", "wave", "kind"]
    assert list(Greeter("x", include_tools=[]).functions) == []


@pytest.mark.parametrize("setting", ["include_tools", "exclude_tools"])
@pytest.mark.parametrize("names", [["gret"], "greet"])
def test_a_selection_that_names_no_tool_is_refused(setting: str, names: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"{setting}=.*part, greet, wave, kind"):
        Greeter("x", **{setting: names})


def test_the_functions_of_a_kit_cannot_be_changed_from_outside() -> None:
    functions: Any = Toolkit("kit", [one]).functions

    with pytest.raises(TypeError):
        functions["one"] = two


def test_collecting_flattens_kits() -> None:
    assert list(collect([one, Greeter("x"), two])) == [
        "one",
        "part",
        "greet",
        "wave",
        "kind",
        "two",
    ]
    assert list(collect(None)) == []


def test_two_tools_of_one_name_are_refused_and_both_origins_named() -> None:
    first, second = Toolkit("first", [one]), Toolkit("second", [one])

    with pytest.raises(ConfigurationError) as caught:
        collect([first, second])
    message = str(caught.value)
    assert "'one'" in message
    assert f"{__name__}.one of toolkit 'first'" in message
    assert f"{__name__}.one of toolkit 'second'" in message

    with pytest.raises(ConfigurationError, match="Two tools are named 'two'"):
        Toolkit("kit", [two, two])


@pytest.mark.parametrize("thing", [{"type": "function"}, 3, str])
def test_what_is_no_tool_is_refused(thing: Any) -> None:
    with pytest.raises(ConfigurationError, match="is no function"):
        collect([thing])


def test_a_method_without_its_object_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"Greeter\.greet is a method without its object"):
        collect([Greeter.greet])
    with pytest.raises(ConfigurationError, match=r"Greeter\.part is a method without its object"):
        collect([Greeter.part])


def test_a_kit_inside_a_kit_is_refused() -> None:
    inner: Any = Toolkit("inner", [one])

    with pytest.raises(ConfigurationError, match="'inner' cannot be a tool"):
        Toolkit("outer", [inner])


def test_instructions_are_given_in_order() -> None:
    kits: list[Tool] = [
        Toolkit("a", instructions="First."),
        one,
        Toolkit("b"),
        Toolkit("c", instructions="Last."),
    ]

    assert toolkit_instructions(kits) == ("First.", "Last.")
    assert toolkit_instructions(None) == ()
