"""Errors as HTTP answers: the one place where licet's errors have statuses."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from licet.db.work_records import QueueFullError
from licet.errors import (
    ConflictError,
    InvalidInputError,
    LicetError,
    NotFoundError,
    StorageError,
)
from licet.os.approving import SelfApprovalError
from licet.os.auditing import Auditing
from licet.os.authority import AuthorityLostError
from licet.os.denial import Denial, log_denial
from licet.os.media import UnsupportedMediaError
from licet.os.run_form import UploadNotKeptError
from licet.os.schedule_authority import UndecidedError
from licet.os.schedule_endpoint import NotSchedulableError
from licet.os.scheduled_runs import SchedulesUnavailableError
from licet.os.service_accounts import NotYoursToGrantError, ScopeNotUsableError
from licet.os.values import MissingFieldError
from licet.runs.cron_times import InvalidTimesError
from licet.runs.durable import DurableRunsTakenError, NoLastingDatabaseError

logger = logging.getLogger(__name__)

_STATUS: tuple[tuple[type[LicetError], int], ...] = (
    (UnsupportedMediaError, 400),
    (ScopeNotUsableError, 400),
    (NoLastingDatabaseError, 400),
    (NotYoursToGrantError, 403),
    (SelfApprovalError, 403),
    (NotFoundError, 404),
    (ConflictError, 409),
    (InvalidTimesError, 422),
    (NotSchedulableError, 422),
    (QueueFullError, 429),
    (DurableRunsTakenError, 503),
    (SchedulesUnavailableError, 503),
    (UndecidedError, 503),
    (StorageError, 503),
    (UploadNotKeptError, 503),
)
_RETRY_AFTER_SECONDS = "5"
_LATER = frozenset((429, 503))
_PLACES = ("body", "header", "path", "query")


def add_error_handlers(app: FastAPI) -> None:
    """Let an app answer licet's errors, and whatever nobody foresaw, as the interface has it."""
    handlers = ((LicetError, _licet_error), (ClientDisconnect, _gone), (Exception, _unforeseen))
    for kind, handler in handlers:
        # An app of one's own may have said already how it answers these.
        app.exception_handlers.setdefault(kind, handler)


async def _licet_error(request: Request, error: Exception) -> JSONResponse:
    if isinstance(error, InvalidInputError) and not isinstance(error, UnsupportedMediaError):
        return JSONResponse({"detail": [_field_problem(error)]}, status_code=422)
    if isinstance(error, AuthorityLostError):
        return _denied(request, Denial.bad_credentials(str(error)))
    for kind, status in _STATUS:
        if isinstance(error, kind):
            if isinstance(error, NotYoursToGrantError | SelfApprovalError):
                # A refusal like those of the gate, which cannot see what is asked for.
                log_denial(request.scope, status=status, detail=str(error))
                auditing: Auditing = request.app.state.agent_os.auditing
                refusal = await auditing.record_ungranted(
                    request.scope, status=status, rule=error.code, reason=str(error)
                )
                if refusal is not None:
                    return JSONResponse({"detail": refusal.detail}, status_code=refusal.status)
            headers = {"retry-after": _RETRY_AFTER_SECONDS} if status in _LATER else None
            return JSONResponse(_detail(error), status_code=status, headers=headers)
    logger.error("a request failed: %s", error, exc_info=error)
    return JSONResponse({"detail": f"Internal server error ({type(error).__name__})"}, 500)


def _denied(request: Request, denial: Denial) -> JSONResponse:
    log_denial(request.scope, status=denial.status, detail=denial.detail)
    headers = {"www-authenticate": denial.challenge or "", "cache-control": "no-store"}
    return JSONResponse({"detail": denial.detail}, denial.status, headers=headers)


def _detail(error: LicetError) -> dict[str, Any]:
    if isinstance(error, InvalidInputError):
        return {"detail": error.expected}
    if isinstance(error, StorageError):
        # Its text may name hosts and tables: that is for the log.
        logger.error("the database failed: %s", error, exc_info=error)
        return {"detail": "The database cannot be reached; nothing was done"}
    return {"detail": str(error)}


def _field_problem(error: InvalidInputError) -> dict[str, Any]:
    missing = isinstance(error, MissingFieldError)
    place = error.field.split(".")
    return {
        "type": "missing" if missing else "value_error",
        "loc": place if place[0] in _PLACES else ["body", *place],
        "msg": error.expected if missing else f"expected {error.expected}",
        "input": None,
    }


async def _gone(request: Request, _error: Exception) -> Response:
    # Whoever leaves in the middle of a body hears no answer; it is nobody's failure.
    logger.debug("the client of %s has left", request.url.path)
    return Response(status_code=400)


async def _unforeseen(_request: Request, error: Exception) -> JSONResponse:
    # The server logs the traceback itself; its text stays there.
    return JSONResponse({"detail": f"Internal server error ({type(error).__name__})"}, 500)
