"""How the log of a served program looks: lines for people, or JSON for programs."""

from __future__ import annotations

import logging
from copy import deepcopy
from typing import Any, Literal, get_args

from licet.json_log import JsonFormatter
from licet.request_id import RequestIdFilter

LogFormat = Literal["text", "json"]
LOG_FORMATS: tuple[LogFormat, ...] = get_args(LogFormat)

_PREFIX = "%(levelprefix)s [%(request_id)s]"


def log_config(log_format: LogFormat) -> dict[str, Any]:
    """Uvicorn's, in which Licet's own lines are seen too: why something was denied, for one.

    Each line tells the request in which it was written; as JSON also the run, the principal and the
    trace. A program that has its own way of logging keeps it, and may use ``JsonFormatter`` in it.
    """
    # The formats are settings: whoever names one need not have uvicorn at hand.
    from uvicorn.config import LOGGING_CONFIG

    config = deepcopy(LOGGING_CONFIG)
    if log_format == "json":
        config["formatters"] = {name: {"()": JsonFormatter} for name in config["formatters"]}
    else:
        for formatter in config["formatters"].values():
            formatter["fmt"] = formatter["fmt"].replace("%(levelprefix)s", _PREFIX, 1)
        config["filters"] = {"request_id": {"()": RequestIdFilter}}
        for handler in config["handlers"].values():
            handler["filters"] = ["request_id"]
    if not logging.getLogger("licet").hasHandlers():
        config["loggers"]["licet"] = {"handlers": ["default"], "level": "INFO", "propagate": False}
    return config
