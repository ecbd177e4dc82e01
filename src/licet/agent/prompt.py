"""What a model is told: the system message, the history, the user's message."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import msgspec

from licet.agent.output import RunInput, StoredMessages
from licet.agent.settings import AgentSettings
from licet.models.message import Message

_MARKDOWN = "Format your answers with Markdown."

_history_decoder = msgspec.json.Decoder(StoredMessages)


def system_message(agent: AgentSettings, *, now: float) -> Message | None:
    """The message that opens every model call; None when the agent says nothing about itself.

    ``agent.system_message`` replaces everything else. ``now`` is epoch seconds.
    """
    if agent.system_message is not None:
        text = agent.system_message
    else:
        text = "\n\n".join(_paragraphs(agent, now=now))
    return Message(role="system", content=text, created_at=int(now)) if text else None


def _paragraphs(agent: AgentSettings, *, now: float) -> Iterable[str]:
    if agent.description:
        yield agent.description
    if agent.instructions:
        if isinstance(agent.instructions, str):
            yield agent.instructions
        else:
            yield "\n".join(f"- {line}" for line in agent.instructions)
    yield from agent.toolkit_instructions
    if agent.markdown and agent.output_schema is None:
        yield _MARKDOWN
    if agent.add_datetime_to_context:
        time = datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds")
        yield f"The current time is {time}."


def user_message(given: RunInput, *, now: float) -> Message:
    """The user's message, with what came along."""
    return Message(
        role="user",
        content=given.input_content,
        images=given.images,
        files=given.files,
        created_at=int(now),
    )


def history_messages(bodies: Sequence[bytes]) -> list[Message]:
    """The conversation of earlier runs, oldest first."""
    return [
        msgspec.structs.replace(message, from_history=True)
        for body in bodies
        for message in _history_decoder.decode(body).messages
    ]
