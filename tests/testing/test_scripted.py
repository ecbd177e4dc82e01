from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licet.errors import ModelUnavailableError
from licet.models.base import Model, ModelRequest
from licet.models.message import Message, Usage
from licet.testing.scripted import (
    CallTools,
    Fail,
    Say,
    ScriptedModel,
    ScriptExhaustedError,
    words,
)


def _ask(text: str = "Hello?") -> ModelRequest:
    return ModelRequest([Message(role="user", content=text)])


def test_it_is_a_model() -> None:
    model: Model = ScriptedModel([])

    assert isinstance(model, Model)


async def test_turns_are_played_in_order_and_requests_recorded() -> None:
    model = ScriptedModel(
        ["Hello there", CallTools(("search", {"q": "x"}), ("now", "{oops"), text="Wait")]
    )
    pieces: list[str] = []

    first = await model.respond(_ask("one"), on_text=pieces.append)
    second = await model.respond(_ask("two"))

    assert (first.text, first.finish_reason, pieces) == ("Hello there", "stop", ["Hello", " there"])
    assert [(c.id, c.function.name, c.function.arguments) for c in second.tool_calls] == [
        ("call_1_0", "search", '{"q":"x"}'),
        ("call_1_1", "now", "{oops"),
    ]
    assert (second.text, second.finish_reason) == ("Wait", "tool_calls")
    assert [request.messages[0].content for request in model.requests] == ["one", "two"]


async def test_a_recorded_request_is_as_it_was_when_it_was_asked() -> None:
    model, messages = ScriptedModel(["Hello"]), [Message(role="user", content="Hi")]

    await model.respond(ModelRequest(messages))
    messages.clear()

    assert len(model.requests[0].messages) == 1


async def test_reasoning_usage_and_refusal_are_played_too() -> None:
    thoughts: list[str] = []
    turn = Say("", reasoning="Let me see", usage=Usage(1, 2, 3), refusal="No.")

    response = await ScriptedModel([turn]).respond(_ask(), on_reasoning=thoughts.append)

    assert thoughts == ["Let", " me", " see"]
    assert (response.reasoning, response.refusal) == ("Let me see", "No.")
    assert response.usage.total_tokens == 3


async def test_a_failure_comes_after_what_was_said_before_it() -> None:
    error = ModelUnavailableError("down", provider="licet")
    pieces: list[str] = []

    with pytest.raises(ModelUnavailableError) as caught:
        await ScriptedModel([Fail(error, "Half an")]).respond(_ask(), on_text=pieces.append)

    assert caught.value is error
    assert pieces == ["Half", " an"]


async def test_a_function_can_be_the_script() -> None:
    model = ScriptedModel(lambda request: f"You said {request.messages[-1].content}")

    assert (await model.respond(_ask("hi"))).text == "You said hi"


@pytest.mark.parametrize(
    ("when_exhausted", "expected"),
    [("repeat_last", ["a", "b", "b", "b"]), ("cycle", ["a", "b", "a", "b"])],
)
async def test_a_script_can_go_on_after_its_last_turn(
    when_exhausted: str, expected: list[str]
) -> None:
    model = ScriptedModel(["a", "b"], when_exhausted=when_exhausted)  # type: ignore[arg-type]  # from the table

    assert [(await model.respond(_ask())).text for _ in range(4)] == expected


@pytest.mark.parametrize("when_exhausted", ["error", "repeat_last", "cycle"])
async def test_a_script_without_a_further_turn_says_so(when_exhausted: str) -> None:
    model = ScriptedModel([], when_exhausted=when_exhausted)  # type: ignore[arg-type]  # from the table

    with pytest.raises(ScriptExhaustedError, match="request 1 of ScriptedModel"):
        await model.respond(_ask())


async def test_pieces_can_be_set_for_a_turn_or_for_the_model() -> None:
    pieces: list[str] = []
    model = ScriptedModel([Say("abc", pieces=["ab", "c"]), "de"], pieces=list)

    await model.respond(_ask(), on_text=pieces.append)
    await model.respond(_ask(), on_text=pieces.append)

    assert pieces == ["ab", "c", "d", "e"]


async def test_pieces_that_do_not_add_up_to_the_text_are_refused() -> None:
    with pytest.raises(ValueError, match="do not add up"):
        await ScriptedModel([Say("abc", pieces=["a"])]).respond(_ask())


async def test_a_held_model_answers_when_its_gate_opens() -> None:
    gate = asyncio.Event()
    model = ScriptedModel(["Hello"], hold=gate)
    run = asyncio.create_task(model.respond(_ask()))

    await model.wait_for_requests(1)
    assert not run.done()
    gate.set()

    assert (await run).text == "Hello"


@pytest.mark.parametrize(("hold_after", "said"), [(0, ""), (1, "one"), (3, "one two three")])
async def test_a_turn_can_be_held_half_way_and_cancelled(hold_after: int, said: str) -> None:
    pieces: list[str] = []
    turn = Say("one two three", hold=asyncio.Event(), hold_after=hold_after)
    model = ScriptedModel([turn])
    run = asyncio.create_task(model.respond(_ask(), on_text=pieces.append))

    await model.wait_for_requests(1)
    for _ in range(20):  # turns of the loop: more than all pieces would need
        await asyncio.sleep(0)
    run.cancel()

    with pytest.raises(asyncio.CancelledError):
        await run
    assert "".join(pieces) == said


async def test_waiting_for_requests_has_a_deadline() -> None:
    with pytest.raises(TimeoutError):
        await ScriptedModel([]).wait_for_requests(1, timeout_seconds=0.01)


@given(st.text())
def test_no_text_is_lost_in_words(text: str) -> None:
    assert "".join(words(text)) == text
