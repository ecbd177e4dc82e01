from __future__ import annotations

import json
from pathlib import Path

import pytest

from licet.errors import ConfigurationError
from licet.testing.openai_script import Answer, Rule, Script, load_script, numbered_text


@pytest.mark.parametrize("tokens", [1, 3, 7, 20])
def test_a_text_is_cut_into_as_many_pieces_as_asked(tokens: int) -> None:
    pieces = Answer(text="Hello, world, once more!", tokens=tokens).pieces()

    assert len(pieces) == tokens
    assert "".join(pieces) == "Hello, world, once more!"


def test_a_numbered_text_has_as_many_words() -> None:
    assert len(Answer(text=numbered_text(50)).pieces()) == 50


def test_a_rule_answers_turn_by_turn_and_repeats_its_last_answer() -> None:
    first, second = Answer(text="first"), Answer(text="second")
    script = Script(rules=(Rule("Weather", (first, second)),))
    question = [("user", "Hi"), ("assistant", "Hi"), ("user", "How is the WEATHER?")]
    turn = [("assistant", ""), ("tool", "sunny")]

    assert script.rule_answer(question) is first
    assert script.rule_answer([*question, *turn]) is second
    assert script.rule_answer([*question, *turn, *turn]) is second


@pytest.mark.parametrize("messages", [[], [("system", "weather")], [("user", "Hi")]])
def test_no_rule_answers_what_matches_none(messages: list[tuple[str, str]]) -> None:
    script = Script(rules=(Rule("weather", (Answer(),)), Rule("hi", ())))

    assert script.rule_answer(messages) is None


def test_a_script_is_read_from_json(tmp_path: Path) -> None:
    file = tmp_path / "script.json"
    file.write_text(
        json.dumps(
            {
                "rules": [
                    {
                        "match": "x",
                        "answers": [{"tool_calls": [{"name": "f", "arguments": {"a": 1}}]}],
                    }
                ],
                "sequence": [{"status": 429, "headers": {"retry-after": "1"}}],
            }
        )
    )

    script = load_script(file)

    assert script.rules[0].answers[0].calls()[0]["function"] == {
        "name": "f",
        "arguments": '{"a":1}',
    }
    assert script.sequence[0].status == 429


@pytest.mark.parametrize("content", [None, "{", '{"rulez": []}', '{"rules": [{"match": 1}]}'])
def test_what_is_no_script_is_refused(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "script.json"
    if content is not None:
        file.write_text(content)

    with pytest.raises(ConfigurationError, match=r"script\.json"):
        load_script(file)
