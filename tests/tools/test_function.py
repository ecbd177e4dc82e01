from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import functools
import json
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import msgspec
import pytest

from licet.context import RunContext
from licet.errors import ConfigurationError, ToolArgumentsError
from licet.models.base import ToolSchema
from licet.tools.function import Function, ToolResult

WHO = contextvars.ContextVar("WHO", default="nobody")
CONTEXT = RunContext(run_id="r1", session_id="s1", agent_id="a1", user_id="ada")


def add(a: int, b: int = 1) -> int:
    """Add two numbers.

    Args:
        a: the first.
    """
    return a + b


async def call(fn: Callable[..., Any], text: str = "{}", **settings: Any) -> ToolResult:
    return await Function.from_callable(fn, **settings).call(text, CONTEXT)


def test_a_function_is_described_once() -> None:
    function = Function.from_callable(add)

    assert function.name == "add"
    assert function.description == "Add two numbers."
    assert function.schema == ToolSchema("add", "Add two numbers.", function.parameters)
    assert function.schema is function.schema
    assert msgspec.json.decode(msgspec.json.encode(function.parameters)) == function.parameters


def test_name_and_description_can_be_given() -> None:
    function = Function.from_callable(lambda: 1, name="one", description="The number one.")

    assert (function.schema.name, function.schema.description) == ("one", "The number one.")


def test_a_partial_is_named_and_described_by_its_function() -> None:
    function = Function.from_callable(functools.partial(add, b=2))

    assert (function.name, function.description) == ("add", "Add two numbers.")


def test_a_callable_object_is_named_by_its_class_and_described_by_it() -> None:
    class Adder:
        """Adds one."""

        def __call__(self, a: int) -> int:
            return a + 1

    function = Function.from_callable(Adder())

    assert (function.name, function.description) == ("Adder", "Adds one.")


@pytest.mark.parametrize("name", ["", "a b", "a.b", "a" * 65, "naïve", "a\n"])
def test_a_name_that_providers_refuse_is_refused_at_once(name: str) -> None:
    with pytest.raises(ConfigurationError, match="Tool name"):
        Function.from_callable(add, name=name)


def test_a_lambda_needs_a_name() -> None:
    with pytest.raises(ConfigurationError, match=r"'<lambda>'.*name="):
        Function.from_callable(lambda: 1)


@pytest.mark.parametrize("thing", [3, "add", int, {"type": "function"}, None])
def test_what_is_no_function_is_refused(thing: Any) -> None:
    with pytest.raises(ConfigurationError, match="is no function"):
        Function.from_callable(thing)


def test_a_bound_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="max_result_chars"):
        Function.from_callable(add, max_result_chars=0)


def test_a_function_cannot_be_changed() -> None:
    function = Function.from_callable(add)

    with pytest.raises(dataclasses.FrozenInstanceError):
        function.name = "other"  # type: ignore[misc]  # what is tested


def test_a_function_stays_callable_as_plain_python() -> None:
    assert Function.from_callable(add)(1, b=3) == 4


def test_arguments_are_parsed_and_validated() -> None:
    function = Function.from_callable(add)

    assert function.parse_arguments('{"a": "3"}') == {"a": 3}
    with pytest.raises(ToolArgumentsError, match="a: "):
        function.parse_arguments('{"a": "three"}')


async def test_a_result_has_text_and_a_duration() -> None:
    ticks = iter([10.0, 12.5])
    function = dataclasses.replace(Function.from_callable(add), clock=lambda: next(ticks))

    assert await function.call('{"a": 2}', CONTEXT) == ToolResult(
        "3", error=False, duration_seconds=2.5
    )


async def test_wrong_arguments_are_a_result_that_the_model_reads() -> None:
    result = await call(add, '{"c": 1}')

    assert result.error
    assert result.content.startswith("Wrong arguments. ")
    assert "known are: a, b" in result.content


async def test_a_synchronous_function_runs_beside_the_loop_with_the_callers_context() -> None:
    WHO.set("ada")

    def where() -> dict[str, Any]:
        return {"main": threading.current_thread() is threading.main_thread(), "who": WHO.get()}

    assert json.loads((await call(where)).content) == {"main": False, "who": "ada"}


async def test_an_asynchronous_function_is_awaited_on_the_loop() -> None:
    loop = asyncio.get_running_loop()

    async def where() -> str:
        await asyncio.sleep(0)
        return str(asyncio.get_running_loop() is loop)

    assert (await call(where)).content == "True"


async def test_an_object_with_an_asynchronous_call_is_awaited() -> None:
    class Asker:
        async def __call__(self) -> str:
            await asyncio.sleep(0)
            return "asked"

    assert (await call(Asker())).content == "asked"
    assert (await call(functools.partial(Asker().__call__), name="ask")).content == "asked"


async def test_a_plain_wrapper_around_an_asynchronous_function_works() -> None:
    async def inner() -> str:
        await asyncio.sleep(0)
        return "inner"

    def wrapper() -> Any:
        return inner()

    assert (await call(wrapper)).content == "inner"


async def test_what_generators_yield_is_joined() -> None:
    def pieces() -> Iterator[str]:
        yield "a"
        yield "b"

    async def apieces() -> AsyncIterator[str]:
        yield "c"
        yield "d"

    async def later() -> Iterator[str]:
        return pieces()

    assert (await call(pieces)).content == "ab"
    assert (await call(apieces)).content == "cd"
    assert (await call(later)).content == "ab"


async def test_the_run_context_is_handed_over() -> None:
    def who(greeting: str, context: RunContext) -> str:
        context.session_state["greeted"] = True
        return f"{greeting} {context.user_id}"

    result = await call(who, '{"greeting": "hello"}')

    assert result.content == "hello ada"
    assert CONTEXT.session_state == {"greeted": True}
    CONTEXT.session_state.clear()


async def test_a_result_over_the_bound_is_cut() -> None:
    result = await call(lambda: "x" * 100, name="long", max_result_chars=10)

    assert result == dataclasses.replace(result, content="x" * 10 + "\n[cut after 10 characters]")


def raise_error() -> None:
    raise ValueError("broken pipe")


async def araise_error() -> None:
    raise ValueError("broken pipe")


def yield_then_raise() -> Iterator[str]:
    yield "a"
    raise ValueError("broken pipe")


@pytest.mark.parametrize("fn", [raise_error, araise_error, yield_then_raise])
async def test_an_exception_is_a_result_and_is_logged_with_its_traceback(
    fn: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, logger="licet.tools"):
        result = await call(fn)

    assert (result.content, result.error) == ("ValueError: broken pipe", True)
    assert fn.__name__ in caplog.text
    assert "Traceback" in caplog.text


class UnreadableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (KeyError("k"), "KeyError: 'k'"),
        (RuntimeError(), "RuntimeError"),
        (SystemExit(3), "SystemExit: 3"),
        (UnreadableError(), "UnreadableError: (its message cannot be read)"),
        (ValueError("a\ud800"), "ValueError: a\ufffd"),
    ],
)
async def test_every_failure_has_a_text(
    error: BaseException, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Neither an error without a text nor a lone surrogate can be a record of a test's log.
    monkeypatch.setattr(logging.getLogger("licet.tools"), "disabled", True)

    async def fail() -> None:
        raise error

    result = await call(fail)
    assert (result.content, result.error) == (text, True)


async def test_a_long_failure_is_cut() -> None:
    async def fail() -> None:
        raise ValueError("x" * 10_000)

    assert 2_000 < len((await call(fail)).content) < 2_100


async def test_cancelling_the_run_cancels_the_tool() -> None:
    started = asyncio.Event()
    cancelled = asyncio.Event()

    async def hang() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    task = asyncio.create_task(call(hang))
    await asyncio.wait_for(started.wait(), timeout=30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cancelled.is_set()


async def test_a_cancelled_run_does_not_wait_for_a_synchronous_tool() -> None:
    started, release = threading.Event(), threading.Event()

    def hang() -> None:
        started.set()
        release.wait(timeout=30)

    task = asyncio.create_task(call(hang))
    assert await asyncio.to_thread(started.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, timeout=15)
    release.set()


async def test_a_tool_that_cancels_only_itself_has_failed() -> None:
    async def give_up() -> None:
        raise asyncio.CancelledError

    result = await call(give_up)

    assert (result.content, result.error) == ("CancelledError", True)


def test_an_interrupt_of_the_program_passes_through() -> None:
    function = Function.from_callable(_interrupt)

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(function.call("{}", CONTEXT))


async def _interrupt() -> None:
    raise KeyboardInterrupt


class Increment:
    def __call__(self, a: int) -> int:
        return a + 1


class Counter:
    def __init__(self) -> None:
        self.count = 0

    def up(self, by: int = 1) -> int:
        self.count += by
        return self.count

    tool_up = Function.from_callable(up)


async def test_a_function_in_a_class_binds_like_a_method() -> None:
    counter = Counter()

    assert Counter.tool_up.needs_binding
    assert not counter.tool_up.needs_binding
    assert counter.tool_up(2) == 2
    assert (await counter.tool_up.call('{"by": 3}', CONTEXT)).content == "5"
    assert counter.tool_up.schema == Counter.tool_up.schema


def test_the_origin_says_where_a_function_was_defined() -> None:
    assert Function.from_callable(add).origin == f"{__name__}.add"
    assert Function.from_callable(functools.partial(add, 1)).origin == f"{__name__}.add"
    assert Counter().tool_up.origin == f"{__name__}.Counter.up"
    assert Function.from_callable(Increment()).origin == f"{__name__}.Increment"
