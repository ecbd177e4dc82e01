"""Outage: says once that something does not work, and once that it works again."""

from __future__ import annotations

import logging

from licet.errors import LicetError


class Outage:
    """One line in the log when something fails, and one when it works again.

    However often either is seen in between, and by however many.

    Args:
        logger: takes the lines.
        failing: what the first says, before the reason.
        working: what the last says.
        level: of the first line.
    """

    def __init__(
        self, logger: logging.Logger, *, failing: str, working: str, level: int = logging.ERROR
    ) -> None:
        self._logger = logger
        self._failing = failing
        self._working = working
        self._level = level
        self._is_on = False

    def failed(self, error: Exception) -> None:
        """It does not work. What nobody has foreseen is logged with its traceback."""
        if self._is_on:
            return
        self._is_on = True
        unforeseen = None if isinstance(error, LicetError) else error
        self._logger.log(self._level, "%s: %s", self._failing, error, exc_info=unforeseen)

    def worked(self) -> None:
        """It works."""
        if self._is_on:
            self._is_on = False
            self._logger.warning("%s", self._working)
