"""Files that hold keys and secrets, read whole: they are small."""

from __future__ import annotations

from pathlib import Path

from licet.errors import ConfigurationError

_MAX_BYTES = 1024 * 1024


def read_small(file: Path) -> bytes:
    """The content of a file of at most one mebibyte.

    Raises:
        ConfigurationError: it cannot be read, or is larger.
    """
    try:
        with file.open("rb") as opened:
            content = opened.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"{str(file)!r} cannot be read: {error.strerror}") from None
    if len(content) > _MAX_BYTES:
        raise ConfigurationError(f"{str(file)!r} holds more than {_MAX_BYTES} bytes; no key does")
    return content
