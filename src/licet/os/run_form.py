"""What a client may say when it starts a run: a form, or JSON with the same names.

Fields that are not named here are never looked at: nothing that a client sends becomes an argument
or server state by accident.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from python_multipart.multipart import parse_options_header
from starlette.requests import Request

from licet.agent.agent import Agent
from licet.agent.nesting import members
from licet.agent.output_schema import OutputSchema
from licet.errors import InvalidInputError, LicetError
from licet.models.message import Image, TextFile
from licet.os import values
from licet.os.media import Uploads, read_images, read_uploads
from licet.os.urlencoded import urlencoded_fields
from licet.runs.retrying import RETRY_OF
from licet.tools.thread import run_in_thread

logger = logging.getLogger(__name__)

MAX_FILES = 20
_ENDLESS = frozenset(("patternProperties", "unevaluatedItems", "unevaluatedProperties"))
_UNSUPPORTED_MEDIA = ("audio", "videos", "input_files")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunForm:
    """A checked request to run an agent."""

    message: str
    stream: bool
    stream_events: bool
    background: bool
    session_id: str | None
    user_id: str | None
    images: tuple[Image, ...]
    files: tuple[TextFile, ...]
    session_state: Mapping[str, Any] | None
    dependencies: Mapping[str, Any] | None
    metadata: Mapping[str, Any] | None
    output_schema: OutputSchema | None


class UploadNotKeptError(LicetError):
    """The server has no room, or no folder, for what a client uploads."""

    code = "upload_not_kept"


async def read_run_form(request: Request, agent: Agent) -> RunForm:
    """Read and check the body of a run request.

    Raises:
        InvalidInputError: names the field, and what was expected.
    """
    given, uploads = await read_fields(request)
    return await run_form(given, agent, uploads)


async def run_form(given: Mapping[str, Any], agent: Agent, uploads: Uploads = ((), ())) -> RunForm:
    """Check what is asked of an agent: fields with a value, and uploaded files.

    Raises:
        InvalidInputError: names the field, and what was expected.
    """
    images, files = uploads
    if "message" not in given:
        raise values.MissingFieldError("message")
    for field in _UNSUPPORTED_MEDIA:
        if field in given:
            raise InvalidInputError(field, "nothing: only images and text files can be given")
    if "images" in given:
        images += read_images(given["images"], "images")
    return RunForm(
        message=values.text(given["message"], "message"),
        stream=values.boolean(given.get("stream", True), "stream"),
        stream_events=values.boolean(given.get("stream_events", True), "stream_events"),
        background=values.boolean(given.get("background", False), "background"),
        session_id=_optional_id(given, "session_id"),
        user_id=_optional_id(given, "user_id"),
        images=images,
        files=files,
        session_state=_declared(given, "session_state", agent.session_state),
        dependencies=_declared(given, "dependencies", _open_dependencies(agent)),
        metadata=_metadata(given, agent),
        output_schema=await _schema(given),
    )


async def read_fields(request: Request) -> tuple[dict[str, Any], Uploads]:
    """The fields with a value, and the uploaded files. An empty form value counts as absent.

    Raises:
        InvalidInputError: the body cannot be read as what it says to be.
        UploadNotKeptError: there is no room for an uploaded file.
    """
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind == b"application/json" or kind.endswith(b"+json"):
        return _json_fields(await request.body()), ((), ())
    # The parser would fail on a charset that it does not know, in the middle of the body.
    if options.get(b"charset", b"utf-8").lower() not in {b"utf-8", b"utf8"}:
        raise InvalidInputError("body", "a form in UTF-8")
    if kind == b"application/x-www-form-urlencoded":
        fields = await urlencoded_fields(await request.body())
        if any(name == "files" and value for name, value in fields):
            raise InvalidInputError("files", "files, not text")
        return {name: value for name, value in fields if name != "files" and value != ""}, ((), ())
    try:
        async with request.form(max_files=MAX_FILES, max_part_size=_part_bytes(request)) as form:
            single = {k: v for k, v in form.multi_items() if k != "files" and v != ""}
            uploads = [upload for upload in form.getlist("files") if upload != ""]
            return single, await read_uploads(uploads, "files")
    except OSError as error:
        # From 1 MiB on, a file is kept in the folder for temporary ones while it is read.
        logger.error("an upload cannot be kept: %s", error)  # noqa: TRY400 - the message says it
        raise UploadNotKeptError("The upload cannot be kept at present") from error


def _part_bytes(request: Request) -> int:
    """A field may be as long as the body: the body itself is bounded already."""
    announced = request.headers.get("content-length", "")
    return int(announced) + 1 if announced.isdigit() else 10 * 1024 * 1024


def _json_fields(body: bytes) -> dict[str, Any]:
    decoded = values.json_body(body)
    if decoded.pop("files", None) is not None:
        raise InvalidInputError("files", "multipart/form-data; JSON bodies take images only")
    return {k: v for k, v in decoded.items() if v is not None and v != ""}


def _optional_id(given: Mapping[str, Any], field: str) -> str | None:
    return values.identifier(given[field], field) if field in given else None


def _object(given: Mapping[str, Any], field: str) -> Mapping[str, Any] | None:
    return values.json_object(given[field], field) if field in given else None


def _declared(
    given: Mapping[str, Any], field: str, declared: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    value = _object(given, field)
    return None if value is None else values.declared_only(value, declared, field)


def _metadata(given: Mapping[str, Any], agent: Agent) -> Mapping[str, Any] | None:
    value = _object(given, "metadata")
    for name in value or ():
        # What the server says of its runs, tools and reports believe.
        if name in agent.metadata or name == RETRY_OF:
            raise InvalidInputError("metadata", f"other keys than {name!r}, which the server sets")
    return value


def _open_dependencies(agent: Agent) -> Mapping[str, Any]:
    """Only what the agent leaves open: a value that the server has set is never the client's."""
    return {name: None for name, value in agent.dependencies.items() if value is None}


async def _schema(given: Mapping[str, Any]) -> OutputSchema | None:
    value = _object(given, "output_schema")
    if value is None:
        return None
    # These can take for ever, and nothing can interrupt or count it: none is a client's.
    for key, keyword in members(value):
        if key in _ENDLESS or (key == "pattern" and isinstance(keyword, str)):
            raise InvalidInputError("output_schema", f"a JSON schema without {key!r}")
    # Checking a large one takes a second: the others are answered meanwhile.
    return await run_in_thread(lambda: OutputSchema.of(value))
