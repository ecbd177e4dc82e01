"""What comes along with a message: pictures and text documents.

The server opens no path and fetches no address that a client names: media comes in the request
itself, or as an https address that only the model's provider will look at.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import UploadFile

from licet.errors import InvalidInputError
from licet.models.message import Image, TextFile
from licet.os.values import json_value, text

IMAGE_TYPES = frozenset(("image/gif", "image/jpeg", "image/png", "image/webp"))
_TEXT_TYPES = frozenset(
    (
        "application/csv",
        "application/json",
        "application/toml",
        "application/x-yaml",
        "application/xml",
        "application/yaml",
    )
)


class UnsupportedMediaError(InvalidInputError):
    """A file of a kind that no agent can be given."""

    code = "unsupported_media"


Uploads = tuple[tuple[Image, ...], tuple[TextFile, ...]]
"""Pictures, and text documents."""


async def read_uploads(uploads: Sequence[Any], field: str) -> Uploads:
    """Uploaded files, as pictures and text documents.

    Raises:
        UnsupportedMediaError: of another kind.
        InvalidInputError: no file, or a text document that is not UTF-8.
    """
    images: list[Image] = []
    files: list[TextFile] = []
    for upload in uploads:
        if not isinstance(upload, UploadFile):
            raise InvalidInputError(field, "files, not text")
        kind = (upload.content_type or "").partition(";")[0].strip().lower()
        content = await upload.read()
        name = text(upload.filename or "file", field)[:255]
        if kind in IMAGE_TYPES:
            images.append(Image(mime_type=kind, data=base64.b64encode(content).decode()))
        elif kind.startswith("text/") or kind in _TEXT_TYPES:
            files.append(TextFile(name, _utf8(content, field, name), kind))
        else:
            raise UnsupportedMediaError(field, f"Unsupported file type: {kind or 'none'}")
    return tuple(images), tuple(files)


def read_images(value: Any, field: str) -> tuple[Image, ...]:
    """Pictures described in JSON: ``[{"content": <base64>, "mime_type": …} | {"url": "https://…"}]``.

    Raises:
        InvalidInputError: not of that form, or naming a file of the server.
    """
    items = json_value(value, field)
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise InvalidInputError(field, "a JSON array of objects")
    return tuple(_image(item, field) for item in items)


def _image(item: Mapping[str, Any], field: str) -> Image:
    if item.get("filepath") is not None:
        raise InvalidInputError(field, "content or an https url; paths of the server are not read")
    url, content = item.get("url"), item.get("content")
    if (url is None) == (content is None):
        raise InvalidInputError(field, "either content (base64) or url in each object")
    if url is not None:
        return Image(url=_https(url, field))
    kind = item.get("mime_type") or f"image/{item.get('format') or 'png'}"
    if not isinstance(kind, str) or kind not in IMAGE_TYPES:
        raise InvalidInputError(field, f"mime_type one of {', '.join(sorted(IMAGE_TYPES))}")
    try:
        base64.b64decode(text(content, field), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInputError(field, "content in base64") from None
    return Image(mime_type=kind, data=content)


def _https(url: Any, field: str) -> str:
    checked = text(url, field)
    try:
        parts = urlsplit(checked)
        usable = parts.scheme == "https" and bool(parts.hostname) and not parts.username
    except ValueError:
        usable = False
    if not usable or not checked.isprintable():
        raise InvalidInputError(field, "an https url")
    return checked


def _utf8(content: bytes, field: str, name: str) -> str:
    try:
        return text(content.decode("utf-8-sig"), field)
    except UnicodeDecodeError:
        raise InvalidInputError(field, f"text files in UTF-8; {name!r} is not") from None
