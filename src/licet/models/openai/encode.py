"""Encoding: a ``ModelRequest`` as the body of a chat-completions request."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import msgspec

from licet.errors import InvalidInputError
from licet.models.base import ModelRequest
from licet.models.message import Image, Message, TextFile
from licet.models.openai.surrogates import repair_tree
from licet.models.openai.transport import Body

_ONLY_WITH_TOOLS = "parallel_tool_calls"
_IMAGE_TYPES = (
    ("iVBORw0KGgo", "image/png"),
    ("/9j/", "image/jpeg"),
    ("R0lGOD", "image/gif"),
    ("UklGR", "image/webp"),
)
"""How the base64 of each kind begins."""


def encode(
    request: ModelRequest,
    *,
    model: str,
    parameters: Mapping[str, Any],
    overrides: Mapping[str, Any],
    stream: bool,
) -> Body:
    """The request's body. ``overrides`` are put in last and win over everything.

    Lone surrogates, which no UTF-8 can carry, become U+FFFD.

    Raises:
        InvalidInputError: an image has neither data nor a URL.
    """
    members: dict[str, Any] = {
        "model": model,
        "messages": [_message(message) for message in request.messages],
        **parameters,
    }
    if request.tools:
        members["tools"] = [
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": tool.parameters,
                },
            }
            for tool in request.tools
        ]
        if request.tool_choice != "auto":
            members["tool_choice"] = request.tool_choice
    else:
        members.pop(_ONLY_WITH_TOOLS, None)
    if request.output_format is not None:
        form = request.output_format
        members["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": form.name, "schema": form.schema, "strict": form.strict},
        }
    if stream:
        members["stream"] = True
        members["stream_options"] = {"include_usage": True}
    members.update(overrides)
    try:
        encoded = msgspec.json.encode(members)
    except UnicodeEncodeError:
        members = repair_tree(members)
        encoded = msgspec.json.encode(members)
    return Body(members, encoded, stream=stream)


def _message(message: Message) -> dict[str, Any]:
    role = message.role
    if role == "tool":
        return {
            "role": role,
            "tool_call_id": message.tool_call_id or "",
            "content": message.content or "",
        }
    if role == "assistant" and message.tool_calls:
        return {
            "role": role,
            "content": message.content,
            "tool_calls": [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {
                        "name": call.function.name,
                        "arguments": call.function.arguments,
                    },
                }
                for call in message.tool_calls
            ],
        }
    if role == "user" and (message.images or message.files):
        return {"role": role, "content": _parts(message)}
    return {"role": role, "content": message.content or ""}


def _parts(message: Message) -> list[dict[str, Any]]:
    texts = [message.content] if message.content else []
    texts.extend(_file_text(file) for file in message.files)
    parts: list[dict[str, Any]] = [{"type": "text", "text": text} for text in texts]
    parts.extend(
        {"type": "image_url", "image_url": {"url": _image_url(image)}} for image in message.images
    )
    return parts


def _file_text(file: TextFile) -> str:
    """The file between tags that its own text cannot close."""
    tag = "file"
    while f"</{tag}>" in file.text:
        tag += "_"
    name, mime_type = escape(file.name), escape(file.mime_type)
    return f'<{tag} name="{name}" type="{mime_type}">\n{file.text}\n</{tag}>'


def _image_url(image: Image) -> str:
    if image.data is not None:
        kind = image.mime_type or next(
            (kind for begin, kind in _IMAGE_TYPES if image.data.startswith(begin)), "image/png"
        )
        return f"data:{kind};base64,{image.data}"
    if image.url is None:
        raise InvalidInputError("images", "expected base64 data or an https url")
    return image.url
