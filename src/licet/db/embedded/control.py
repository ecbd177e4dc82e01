"""Making, starting and awaiting a server: what is done under its starting lock."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import NamedTuple

from licet.db.embedded import guard, locks
from licet.db.embedded.install import ENVIRONMENT, Install, install_for, run
from licet.db.embedded.passwords import Passwords
from licet.db.embedded.place import Place, make_private
from licet.errors import StorageError

SUPERUSER = "postgres"

_NO_SERVER = (3, 4)
_STOP_SECONDS = 90.0
_GUARD_SECONDS = 1.0


class Listening(NamedTuple):
    """Where a running server is heard: its port, which also names its socket, and on TCP or not."""

    port: int
    on_tcp: bool


def initialise(install: Install, place: Place) -> None:
    """Make the data folder; it gets its name when it is complete.

    Raises:
        StorageError: ``initdb`` failed.
    """
    half = place.data.with_name("data.half")
    shutil.rmtree(half, ignore_errors=True)
    make_private(half, place.user)
    secret = place.home / "superuser.half"
    secret.unlink(missing_ok=True)
    handle = os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(Passwords(place.passwords).make(SUPERUSER))
            if place.user is not None:
                os.fchown(file.fileno(), place.user.uid, place.user.gid)
        run(
            [
                *(install.program("initdb"), "-D", str(half), "-U", SUPERUSER),
                *("--auth=scram-sha-256", f"--pwfile={secret}", "--encoding=UTF8", "--locale=C"),
                *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-instructions"),
            ],
            place,
        )
    finally:
        secret.unlink(missing_ok=True)
    half.rename(place.data)


def is_running(install: Install, place: Place) -> bool:
    """Whether a server works on the data."""
    asked = [install.program("pg_ctl"), "-D", str(place.data), "status"]
    return run(asked, place, accept=(0, *_NO_SERVER)).returncode == 0


def listening(place: Place) -> Listening:
    """Where the running server is heard, as it wrote into its pid file.

    Raises:
        StorageError: there is no server.
    """
    try:
        lines = place.pid_file.read_text().splitlines()
        return Listening(port=int(lines[3]), on_tcp=bool(lines[5].strip()))
    except (OSError, ValueError, IndexError) as error:
        raise StorageError(f"the embedded PostgreSQL in {place.home} is not running") from error


def launch(install: Install, place: Place, settings: Mapping[str, str]) -> None:
    """Start a server and its guard, and wait until it takes connections.

    Raises:
        StorageError: it did not start; the message has the end of what it said.
    """
    command = [install.program("postgres"), "-D", str(place.data)]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    order = {
        "command": command,
        "environment": ENVIRONMENT,
        "uid": None if place.user is None else place.user.uid,
        "gid": None if place.user is None else place.user.gid,
        "log": str(place.log),
        "pid_file": str(place.pid_file),
        "users": str(place.users),
    }
    said_before = place.log.stat().st_size if place.log.exists() else 0
    started = subprocess.run(  # noqa: S603 - this interpreter, with a module of our own
        [sys.executable, "-I", "-S", guard.__file__],
        input=json.dumps(order).encode(),
        capture_output=True,
        check=False,
    )
    if started.returncode != 0:
        said = place.log.read_bytes()[said_before:] if place.log.exists() else started.stderr
        tail = said.decode(errors="replace").strip()[-1000:]
        raise StorageError(f"embedded PostgreSQL did not start: {tail}")


def wait_until_down(place: Place) -> None:
    """Wait for the guard to take the server down, unless others go on using it."""
    began = time.monotonic()
    while place.pid_file.exists() and time.monotonic() < began + _STOP_SECONDS:
        if locks.is_shared(place.users):
            return
        if locks.is_free(place.users) and time.monotonic() > began + _GUARD_SECONDS:
            _stop_unguarded(place)
            return
        time.sleep(0.01)


def _stop_unguarded(place: Place) -> None:
    """The guard itself was killed: its work is ours."""
    with locks.exclusively(place.starting):
        if locks.is_free(place.users) and place.pid_file.exists():
            program = install_for(place).program("pg_ctl")
            run([program, "-D", str(place.data), "-m", "fast", "stop"], place, accept=(0, 1))
