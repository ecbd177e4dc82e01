"""Serving: uvicorn, set up so that nobody can speak for a client's address."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from math import ceil
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from licet.errors import ConfigurationError
from licet.os.config import Settings
from licet.os.log_config import LogFormat, log_config


def serve(
    app: str | FastAPI,
    *,
    host: str,
    port: int,
    reload: bool,
    workers: int | None,
    access_log: bool,
    log_format: LogFormat,
    settings: Settings,
) -> None:
    """Serve an app until stopped.

    Raises:
        ConfigurationError: ``reload`` or several ``workers`` of an app that is not named by text:
            new processes could not find it.
    """
    if not isinstance(app, str) and (reload or (workers or 1) > 1):
        raise ConfigurationError(
            "reload and workers need the app as text, e.g. serve(app='my_program:app')"
        )
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    uvicorn.run(
        app,
        host=host,
        port=port,
        reload=reload,
        workers=workers,
        access_log=access_log,
        log_config=log_config(log_format),
        http=http_protocol(),
        # The setting is named after the other parser, and read by ours too: settings of uvicorn's
        # own are all that reaches new processes.
        h11_max_incomplete_event_size=settings.max_header_bytes,
        # A proxy's headers would let a client choose its own address.
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=max(1, ceil(settings.shutdown_grace_seconds)),
    )


def http_protocol() -> str:
    """Uvicorn's ``http``: our bounded reading of httptools, or what bounds headers by itself."""
    found = find_spec("httptools") is not None
    return "licet.os.http_protocol:BoundedHttpProtocol" if found else "auto"
