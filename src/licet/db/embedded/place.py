"""Where an embedded server lives, and as whom it runs.

PostgreSQL refuses to run as root. Where we are root, it runs as ``nobody``, who must reach its own
files: the home is 0711 then, and what lies in it belongs to root, save the data and the sockets.
Where ``nobody`` cannot reach the wanted folder (a checkout below ``/root``), the home is in
``/var/lib/licet`` instead, because no folder that is not ours is changed.
"""

from __future__ import annotations

import hashlib
import logging
import os
import pwd
import stat
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from licet.errors import StorageError

logger = logging.getLogger(__name__)

_UNPRIVILEGED = "nobody"
_ROOTS_HOMES = Path("/var/lib/licet")
# How long a folder may take from being made by root to being its user's.
_GIVEN_AWAY_SECONDS = 1.0
# A socket's path has at most 103 bytes on macOS; ".s.PGSQL.65535" and a slash are 15 of them.
_MAX_FOLDER_BYTES = 85


@dataclass(frozen=True, slots=True)
class ServerUser:
    """The user that the server runs as, where that is not our own."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Place:
    """The folders and files of one server."""

    home: Path
    sockets: Path
    user: ServerUser | None

    @property
    def data(self) -> Path:
        """What ``initdb`` made."""
        return self.home / "data"

    @property
    def is_made(self) -> bool:
        """Whether ``initdb`` was here."""
        return (self.data / "PG_VERSION").exists()

    @property
    def log(self) -> Path:
        """What the server says."""
        return self.home / "server.log"

    @property
    def passwords(self) -> Path:
        """The generated passwords, readable for us alone."""
        return self.home / "passwords.json"

    @property
    def starting(self) -> Path:
        """Locked by the one process that starts the server or changes its roles."""
        return self.home / "starting.lock"

    @property
    def users(self) -> Path:
        """Locked (shared) by every process that uses the server."""
        return self.home / "users.lock"

    @property
    def pid_file(self) -> Path:
        """Written by the server; it goes when the server does."""
        return self.data / "postmaster.pid"


def digest(folder: Path) -> str:
    """Twelve characters for a folder's absolute path."""
    return hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]


def place_of(folder: Path) -> Place:
    """Where a server of this folder is, made or not. ``folder`` is absolute.

    Raises:
        StorageError: there is nobody whom it could run as.
    """
    user = server_user()
    home = folder
    if user is not None and not reaches(user, folder.parent):
        home = _ROOTS_HOMES / f"postgres-{digest(folder)}"
    sockets = home / "sockets"
    if len(os.fsencode(sockets)) > _MAX_FOLDER_BYTES:
        sockets = Path(tempfile.gettempdir()) / f"licet-{digest(home)}"
    return Place(home, sockets, user)


def make_place(folder: Path) -> Place:
    """Choose and make the folders. ``folder`` is absolute.

    Raises:
        StorageError: a folder cannot be made, or is not safe to use.
    """
    place = place_of(folder)
    home, user = place.home, place.user
    if user is not None and home != folder:
        logger.warning(
            "%s is out of reach for the user %r, as whom PostgreSQL runs: its data is in %s",
            folder,
            user.name,
            home,
        )
    try:
        for parent in reversed(home.parents):
            parent.mkdir(mode=0o700 if user is None else 0o711, exist_ok=True)
        home.mkdir(exist_ok=True)
        home.chmod(0o700 if user is None else 0o711)
        make_private(place.sockets, user)
    except OSError as error:
        raise StorageError(f"embedded PostgreSQL cannot have its folder: {error}") from error
    return place


def server_user() -> ServerUser | None:
    """Who runs the server; None: we do ourselves."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(_UNPRIVILEGED)
    except KeyError as error:
        raise StorageError(
            f"PostgreSQL does not run as root, and there is no user {_UNPRIVILEGED!r} to run it: "
            "start licet as another user, or give db_url"
        ) from error
    return ServerUser(entry.pw_name, entry.pw_uid, entry.pw_gid)


def reaches(user: ServerUser, path: Path) -> bool:
    """Whether a user can pass every folder on the way to a path, and the path itself.

    What does not exist yet is made by us, and can be passed.
    """
    return all(_may_pass(user, part) for part in (path, *path.parents) if part.is_dir())


def make_private(folder: Path, user: ServerUser | None) -> None:
    """A folder of the server's user alone. One that is there already is used only if it is such.

    Raises:
        StorageError: it is somebody else's, open to others, or no folder.
    """
    uid = os.geteuid() if user is None else user.uid
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        deadline = time.monotonic() + _GIVEN_AWAY_SECONDS
        while not _is_private(folder, uid):
            # A process that starts beside this one has made it, and gives it away in a moment.
            if not _is_private(folder, os.geteuid()) or time.monotonic() >= deadline:
                raise StorageError(
                    f"{folder} is not a folder of user {uid} alone (0700): move it away"
                ) from None
            time.sleep(0.01)
        return
    if user is not None:
        os.chown(folder, user.uid, user.gid)


def _is_private(folder: Path, uid: int) -> bool:
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == uid and not found.st_mode & 0o077


def _may_pass(user: ServerUser, path: Path) -> bool:
    found = path.stat()
    if found.st_uid == user.uid:
        return bool(found.st_mode & stat.S_IXUSR)
    if found.st_gid == user.gid:
        return bool(found.st_mode & stat.S_IXGRP)
    return bool(found.st_mode & stat.S_IXOTH)
