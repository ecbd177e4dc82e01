"""The one family of errors. Imports nothing of licet.

Every error has a stable ``code`` and typed fields, and its message says what was wrong, where, and
what to do. HTTP knows nothing of them here: statuses are given in ``licet.os``.
"""

from __future__ import annotations

from typing import ClassVar


class LicetError(Exception):
    """Root of all errors that licet raises on purpose."""

    code: ClassVar[str] = "licet_error"


class ConfigurationError(LicetError):
    """A setting is missing, contradicts another, or would open a door. Raised at start-up."""

    code = "configuration"


class MissingExtraError(ConfigurationError):
    """A feature needs a package that is not installed."""

    code = "missing_extra"

    def __init__(self, feature: str, *, package: str, extra: str) -> None:
        super().__init__(f"{feature} needs the package {package!r}: pip install 'licet[{extra}]'")
        self.feature = feature
        self.package = package
        self.extra = extra


class InvalidInputError(LicetError):
    """A caller's value cannot be used: ``field`` names it, ``expected`` says what would do."""

    code = "invalid_input"

    def __init__(self, field: str, expected: str) -> None:
        super().__init__(f"{field}: {expected}")
        self.field = field
        self.expected = expected


class NotFoundError(LicetError):
    """It does not exist, or is not the caller's: indistinguishable on purpose."""

    code = "not_found"

    def __init__(self, kind: str, identifier: str, message: str | None = None) -> None:
        super().__init__(message or f"{kind} {identifier!r} not found")
        self.kind = kind
        self.identifier = identifier


class ConflictError(LicetError):
    """The request contradicts the stored state."""

    code = "conflict"


class StorageError(LicetError):
    """The database could not do what was asked; what had been accepted is still stored."""

    code = "storage"


class StorageUnavailableError(StorageError):
    """The database cannot be worked with just now; trying again later may do."""

    code = "storage_unavailable"


class ModelError(LicetError):
    """A model provider failed.

    ``status`` is the provider's HTTP status (None: no answer came), ``request_id`` what it calls
    the request, ``retryable`` whether the same request may succeed later.
    """

    code = "model_error"

    def __init__(
        self,
        message: str,
        *,
        provider: str,
        status: int | None = None,
        request_id: str | None = None,
        retryable: bool = False,
    ) -> None:
        super().__init__(message)
        self.provider = provider
        self.status = status
        self.request_id = request_id
        self.retryable = retryable


class ModelCredentialsError(ModelError):
    """No API key, or the provider refused it (401, 403)."""

    code = "model_credentials"


class ModelRequestError(ModelError):
    """The provider refused the request itself (400, 404, 413, 422)."""

    code = "model_request"


class ModelRateLimitError(ModelError):
    """The provider's limit was reached (429) and stayed so over all retries."""

    code = "model_rate_limit"


class ModelUnavailableError(ModelError):
    """The provider could not be reached, timed out, or failed (408, 409, 5xx)."""

    code = "model_unavailable"


class ModelProtocolError(ModelError):
    """The provider answered something that is not the protocol, or cut the answer off."""

    code = "model_protocol"


class ToolArgumentsError(LicetError):
    """A model called a tool with arguments that do not fit its schema. Goes back to the model."""

    code = "tool_arguments"


class OutputSchemaError(LicetError):
    """The model's answer does not fit the agent's ``output_schema``."""

    code = "output_schema"
