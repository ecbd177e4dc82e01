from __future__ import annotations

import base64
import io
from typing import Any

import pytest
from starlette.datastructures import Headers, UploadFile

from licet.errors import InvalidInputError
from licet.models.message import Image, TextFile
from licet.os.media import UnsupportedMediaError, read_images, read_uploads


def upload(content: bytes, kind: str | None, name: str | None = "x") -> UploadFile:
    headers = Headers({"content-type": kind} if kind is not None else {})
    return UploadFile(io.BytesIO(content), filename=name, headers=headers)


@pytest.mark.parametrize("kind", ["image/png", "IMAGE/JPEG", "image/webp; q=1", "image/gif"])
async def test_pictures_are_kept_as_base64(kind: str) -> None:
    images, files = await read_uploads([upload(b"\x00\xff", kind)], "files")
    mime_type = kind.partition(";")[0].lower()
    assert images == (Image(mime_type=mime_type, data=base64.b64encode(b"\x00\xff").decode()),)
    assert files == ()


@pytest.mark.parametrize("kind", ["text/plain", "text/x-python", "application/json"])
async def test_text_is_kept_as_text_without_its_byte_order_mark(kind: str) -> None:
    images, files = await read_uploads([upload(b"\xef\xbb\xbfgr\xc3\xbcn", kind, "a.txt")], "files")
    assert images == ()
    assert files == (TextFile("a.txt", "grün", kind),)


async def test_names_are_bounded_and_optional() -> None:
    uploads = [upload(b"a", "text/plain", None), upload(b"b", "text/plain", "n" * 1000)]
    _, files = await read_uploads(uploads, "files")
    assert [file.name for file in files] == ["file", "n" * 255]


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("text", "files, not text"),
        (upload(b"\xff", "text/plain", "x.txt"), "UTF-8; 'x.txt' is not"),
        (upload(b"a\0b", "text/plain"), "NUL"),
        (upload(b"a", "text/plain", "a\0"), "NUL"),
    ],
)
async def test_what_cannot_be_read_is_refused(sent: Any, expected: str) -> None:
    with pytest.raises(InvalidInputError, match=expected):
        await read_uploads([sent], "files")


@pytest.mark.parametrize("kind", ["application/pdf", "image/svg+xml", "video/mp4", "", None])
async def test_other_kinds_are_not_supported(kind: str | None) -> None:
    with pytest.raises(UnsupportedMediaError, match="Unsupported file type"):
        await read_uploads([upload(b"a", kind)], "files")


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({"content": "AAAA"}, Image(mime_type="image/png", data="AAAA")),
        ({"content": "AAAA", "format": "webp"}, Image(mime_type="image/webp", data="AAAA")),
        ({"content": "AAAA", "mime_type": "image/gif"}, Image(mime_type="image/gif", data="AAAA")),
        ({"url": "https://a.example/x"}, Image(url="https://a.example/x")),
        ({"url": "https://a.example", "filepath": None}, Image(url="https://a.example")),
    ],
)
def test_pictures_in_json(item: dict[str, Any], expected: Image) -> None:
    assert read_images([item], "images") == (expected,)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("[", "valid JSON"),
        ({}, "array of objects"),
        ([1], "array of objects"),
        ([{}], "either content"),
        ([{"content": "AAAA", "url": "https://a.example"}], "either content"),
        ([{"filepath": "/etc/passwd"}], "paths of the server"),
        ([{"filepath": ""}], "paths of the server"),
        ([{"content": "AAA"}], "base64"),
        ([{"content": "ä"}], "base64"),
        ([{"content": 5}], "text"),
        ([{"content": "AAAA", "mime_type": "text/html"}], "mime_type one of"),
        ([{"content": "AAAA", "mime_type": ["image/png"]}], "mime_type one of"),
        ([{"content": "AAAA", "mime_type": {"a": 1}}], "mime_type one of"),
        ([{"content": "AAAA", "format": "svg+xml"}], "mime_type one of"),
        ([{"url": 5}], "text"),
        ([{"url": ""}], "an https url"),
        ([{"url": "http://a.example"}], "an https url"),
        ([{"url": "https://"}], "an https url"),
        ([{"url": "https://user@a.example"}], "an https url"),
        ([{"url": "https://["}], "an https url"),
        ([{"url": "https://a.example/\u202e"}], "an https url"),
        ([{"url": "file:///etc/passwd"}], "an https url"),
    ],
)
def test_pictures_that_cannot_be_meant_are_refused(value: Any, expected: str) -> None:
    with pytest.raises(InvalidInputError, match=expected):
        read_images(value, "images")
