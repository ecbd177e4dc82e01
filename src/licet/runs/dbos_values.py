"""What the engine may store: JSON, and nothing that could be run when it is read.

The library would pickle. A row is read by whoever works next, so whoever can write the table could
have code run; here a value is JSON whatever a row says it is. To be imported where the engine is
launched only: it takes the library along.
"""

from __future__ import annotations

from typing import Any

import msgspec
from dbos._serialization import Serializer

from licet.agent.steps import KeptError
from licet.errors import LicetError, StorageError

_ERROR = "$error"


class JsonSerializer(Serializer):
    """JSON for the engine. An exception is kept as its code and, where it is ours, its text."""

    def name(self) -> str:
        """What rows say of how they were written."""
        return "licet_json"

    def serialize(self, data: Any) -> str:
        """A value as text."""
        if isinstance(data, BaseException):
            data = {_ERROR: _kept(data)}
        return msgspec.json.encode(data).decode()

    def deserialize(self, serialized_data: str) -> Any:
        """The value that ``serialize`` wrote."""
        value = msgspec.json.decode(serialized_data)
        if isinstance(value, dict) and _ERROR in value:
            code, message = value[_ERROR]
            return KeptError(message, code)
        return value


class NothingPickled(Serializer):
    """Stands where the library's own serializer stood."""

    def name(self) -> str:
        """What it was called."""
        return "py_pickle"

    def serialize(self, data: Any) -> str:
        """A failure as JSON, which is not read: one to read such a row ends its run. Else never."""
        if isinstance(data, BaseException):
            return JsonSerializer().serialize(data)
        raise StorageError("the engine of durable runs stores JSON only")

    def deserialize(self, serialized_data: str) -> Any:  # noqa: ARG002 - the library's signature
        """Never."""
        raise StorageError("a row of the engine of durable runs is no JSON; it is not read")


def _kept(error: BaseException) -> tuple[str, str]:
    if isinstance(error, LicetError):
        code = error.kept_code if isinstance(error, KeptError) else error.code
        # A provider's words may hold what is no Unicode.
        return code, str(error).encode(errors="replace").decode()
    # The text of an unforeseen exception may hold anything.
    return "internal_error", f"Internal error ({type(error).__name__})"
