"""Files that hold keys and secrets, written so that nobody else can read them."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from licet.errors import ConfigurationError


def write_new(file: Path, text: str, *, mode: int, force: bool) -> None:
    """Write a file of that mode; with ``force`` in place of another, in one step.

    Raises:
        ConfigurationError: it exists and ``force`` is not set, or it cannot be written.
    """
    # A new file has its mode from the start: there is no moment in which others could open it.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    new = file.with_name(f".{file.name}.{secrets.token_hex(8)}") if force else file
    try:
        with os.fdopen(os.open(new, flags, mode), "w", encoding="ascii") as opened:
            opened.write(text)
        if force:
            new.replace(file)
    except FileExistsError:
        raise ConfigurationError(f"{str(file)!r} exists; --force overwrites it") from None
    except OSError as error:
        raise _unwritable(file, error) from None


@contextmanager
def reserved(file: Path, *, mode: int) -> Iterator[Callable[[str], None]]:
    """A new file, to be written before the block ends; what fails takes it away again.

    For what is made once and cannot be shown again: that it can be stored is known before.

    Raises:
        ConfigurationError: it exists, or it cannot be made or written.
    """
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise ConfigurationError(f"{str(file)!r} exists; name a new file") from None
    except OSError as error:
        raise _unwritable(file, error) from None

    def write(text: str) -> None:
        # Unbuffered: what is not written is told here, and not when the file is closed.
        left = text.encode("ascii")
        try:
            while left:
                left = left[os.write(descriptor, left) :]
        except OSError as error:
            raise _unwritable(file, error) from None

    try:
        yield write
    except BaseException:
        file.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def _unwritable(file: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(f"{str(file)!r} cannot be written: {error.strerror}")
