from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from licet.errors import (
    ModelCredentialsError,
    ModelError,
    ModelProtocolError,
    ModelRateLimitError,
    ModelUnavailableError,
)
from licet.models.base import ModelResponse
from licet.models.message import Usage
from licet.models.openai.decode import AnswerDecoder
from licet.models.openai.failure import Failures
from tests.models.openai.parts import KEY


class _Ear:
    def __init__(self) -> None:
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self.decoder = AnswerDecoder(
            failures=Failures("OpenAI", (KEY,), "req_1"),
            new_call_id=lambda: "call_new",
            on_text=self.text.append,
            on_reasoning=self.reasoning.append,
        )

    def hear(self, *payloads: bytes) -> ModelResponse:
        for payload in payloads:
            self.decoder.decode(payload)
        return self.decoder.response(request_id="req_1")


def _chunk(finish_reason: str | None = None, **delta: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return json.dumps({"choices": [choice], "unknown": {"member": 1}}).encode()


def test_text_is_handed_over_in_the_pieces_in_which_it_came() -> None:
    ear = _Ear()

    response = ear.hear(
        _chunk(role="assistant", content=""),
        _chunk(content="Hel"),
        _chunk(content="lo"),
        _chunk("stop"),
        b'{"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}',
    )

    assert ear.text == ["Hel", "lo"]
    assert response == ModelResponse(
        text="Hello",
        usage=Usage(input_tokens=3, output_tokens=2, total_tokens=5),
        finish_reason="stop",
        request_id="req_1",
    )


@pytest.mark.parametrize("member", ["reasoning_content", "reasoning"])
def test_reasoning_has_its_own_channel_under_either_name(member: str) -> None:
    ear = _Ear()

    response = ear.hear(_chunk(**{member: "Let me "}), _chunk(**{member: "see"}), _chunk("stop"))

    assert ear.reasoning == ["Let me ", "see"]
    assert (response.reasoning, response.text) == ("Let me see", "")


def test_content_in_parts_is_read_as_text_and_thinking() -> None:
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "Hm. "}]},
        {"type": "thinking", "thinking": "So."},
        {"type": "text", "text": "Yes"},
        {"type": "reference", "reference_ids": [1]},
    ]
    ear = _Ear()

    response = ear.hear(_chunk("stop", content=parts))

    assert (response.reasoning, response.text) == ("Hm. So.", "Yes")


def test_a_plain_response_goes_through_the_same_decoder() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {"role": "assistant", "content": "Hello", "tool_calls": [call]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    ear = _Ear()

    response = ear.hear(json.dumps({"choices": [choice]}).encode())

    assert ear.text == ["Hello"]
    assert [(call.id, call.function.name) for call in response.tool_calls] == [("c1", "f")]
    assert response.finish_reason == "tool_calls"


@pytest.mark.parametrize("reason", ["length", "content_filter", "made_up"])
def test_the_finish_reason_is_kept_as_it_is(reason: str) -> None:
    assert _Ear().hear(_chunk(content="Hal"), _chunk(reason)).finish_reason == reason


def test_a_refusal_is_told_apart_from_text() -> None:
    ear = _Ear()

    response = ear.hear(_chunk(refusal="I can"), _chunk(refusal="not"), _chunk("stop"))

    assert (response.refusal, response.text, ear.text) == ("I cannot", "", [])


def test_only_the_first_of_several_answers_is_read() -> None:
    other = b'{"choices": [{"index": 1, "delta": {"content": "other"}}]}'

    assert _Ear().hear(_chunk(content="first"), other, _chunk("stop")).text == "first"


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}, Usage(5, 7, 12)),
        ({"prompt_tokens": 5, "completion_tokens": None}, Usage(5, 0, 5)),
        (
            {
                "prompt_tokens": 5,
                "completion_tokens": 7,
                "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 6},
            },
            Usage(5, 7, 12, 6, 4),
        ),
        ({"prompt_tokens": 5, "prompt_cache_hit_tokens": 3}, Usage(5, 0, 5, 0, 3)),
        ({"prompt_tokens_details": None, "completion_tokens_details": None}, Usage()),
    ],
)
def test_usage_is_read_in_the_forms_in_use(usage: dict[str, Any], expected: Usage) -> None:
    payload = json.dumps({"choices": [], "usage": usage}).encode()

    assert _Ear().hear(_chunk("stop", content="x"), payload).usage == expected


def test_a_character_cut_into_two_chunks_is_joined() -> None:
    ear = _Ear()

    response = ear.hear(
        _chunk(content="Hi ").replace(b"Hi ", b"Hi \\ud83d"),
        _chunk(content="X").replace(b"X", b"\\ude00!"),
        _chunk("stop"),
    )

    assert ear.text == ["Hi ", "😀!"]
    assert response.text == "Hi 😀!"


@given(
    st.lists(
        st.lists(st.sampled_from(["a", "é", "😀", "\\ud83d", "\\ude00"]), max_size=4).map("".join)
    )
)
def test_no_lone_surrogate_gets_out_and_no_other_text_is_lost(pieces: list[str]) -> None:
    ear = _Ear()
    sent = [
        f'{{"choices":[{{"delta":{{"content":"{piece}","refusal":"{piece}"}}}}]}}'
        for piece in pieces
    ]

    response = ear.hear(*(payload.encode() for payload in sent), _chunk("stop"))

    whole = "".join(pieces)
    assert "".join(ear.text) == response.text == (response.refusal or "")
    response.text.encode()
    for kept in "aé":
        assert response.text.count(kept) == whole.count(kept)
    whole_pairs = whole.count("😀") + whole.count("\\ud83d\\ude00")
    assert response.text.count("😀") == whole_pairs


def test_broken_utf8_is_replaced_and_the_rest_kept() -> None:
    broken = _chunk(content="abXcd").replace(b"X", b"\xff")

    assert _Ear().hear(broken, _chunk("stop")).text == "ab\ufffdcd"


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"{not json", "not JSON"),
        (b"[" * 200_000, "not JSON"),
        (b'{"choices": 7}', r"another form.*\$\.choices"),
        (b'"text"', "another form"),
    ],
)
def test_what_is_not_the_protocol_is_a_typed_error(payload: bytes, message: str) -> None:
    with pytest.raises(ModelProtocolError, match=message) as caught:
        _Ear().decoder.decode(payload)

    assert caught.value.request_id == "req_1"


def test_an_answer_without_choices_is_an_error() -> None:
    with pytest.raises(ModelProtocolError, match="without choices"):
        _Ear().hear(b'{"choices": []}')


def test_a_tool_call_without_a_name_is_an_error() -> None:
    with pytest.raises(ModelProtocolError, match="names no function"):
        _Ear().hear(_chunk("tool_calls", tool_calls=[{"index": 0, "id": "a"}]))


@pytest.mark.parametrize(
    ("error", "kind", "status", "retryable"),
    [
        ({"message": "overloaded", "code": 502}, ModelUnavailableError, 502, True),
        ({"message": "slow down", "type": "rate_limit_error"}, ModelRateLimitError, 429, True),
        ({"message": "pay", "code": "insufficient_quota"}, ModelRateLimitError, 429, False),
        ({"message": "who?", "code": "invalid_api_key"}, ModelCredentialsError, 401, False),
        ({"message": "odd", "code": "never_heard_of"}, ModelUnavailableError, 500, True),
        ("plain words", ModelUnavailableError, 500, True),
        (["strange"], ModelUnavailableError, 500, True),
    ],
)
def test_an_error_within_an_answer_is_typed(
    error: Any, kind: type[ModelError], status: int, *, retryable: bool
) -> None:
    ear = _Ear()
    ear.decoder.decode(_chunk(content="Hel"))

    with pytest.raises(ModelError) as caught:
        ear.decoder.decode(msgspec.json.encode({"error": error}))

    assert type(caught.value) is kind
    assert (caught.value.status, caught.value.retryable) == (status, retryable)


def test_it_knows_whether_anything_was_shown() -> None:
    ear = _Ear()
    ear.decoder.decode(_chunk(content=""))
    assert not ear.decoder.shown
    ear.decoder.decode(_chunk(content="x"))
    assert ear.decoder.shown


def test_without_callbacks_nothing_is_ever_shown() -> None:
    decoder = AnswerDecoder(failures=Failures("OpenAI"), new_call_id=str)
    decoder.decode(_chunk(content="x"))

    assert not decoder.shown
