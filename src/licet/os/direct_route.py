"""Routes whose endpoints take the request and texts of its path, and so are simply called.

FastAPI looks for parameters, a body and dependencies with each request, and opens stacks for what
may have to be closed. Where there is none of that, it costs as much as the whole decision does.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send


class DirectRoute(APIRoute):
    """A route of FastAPI, documented as all are; called without a look for what it does not take.

    What its endpoint raises is answered where the app answers errors, which is around all routes.

    Where an endpoint takes more, or answers no ``Response``, it is a route like any other;
    ``is_direct`` tells which.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        names = self._names()
        self.is_direct = names is not None
        if names is not None:
            self.app = _calling(endpoint, *names)

    def _names(self) -> tuple[str | None, Sequence[str]] | None:
        """What the endpoint calls its request and its texts of the path; None: it takes more."""
        signature = inspect.signature(self.endpoint, eval_str=True)
        takes = {name: each.annotation for name, each in signature.parameters.items()}
        requests = [name for name, kind in takes.items() if kind is Request]
        texts = [n for n, kind in takes.items() if kind is str and n in self.param_convertors]
        answers = signature.return_annotation
        if (
            len(requests) > 1
            or len(requests) + len(texts) < len(takes)
            or self.dependencies
            or self.max_body_size is not None
            or not inspect.iscoroutinefunction(self.endpoint)
            or not (isinstance(answers, type) and issubclass(answers, Response))
        ):
            return None
        return (requests[0] if requests else None), texts


def _calling(
    endpoint: Callable[..., Awaitable[Response]], request_name: str | None, texts: Sequence[str]
) -> ASGIApp:
    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        found = scope["path_params"]
        given = {name: found[name] for name in texts}
        if request_name is not None:
            given[request_name] = Request(scope, receive, send)
        response = await endpoint(**given)
        await response(scope, receive, send)

    return call
