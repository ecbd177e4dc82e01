"""Programs without rights, as containers run them: another user, nothing writable, no home."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from licet.db.embedded.place import ServerUser, reaches

USER = ServerUser("", 65532, 65532)
# Some systems leave out of the library what makes environments.
_SERVES = "import ensurepip, sys; sys.exit(sys.version_info < (3, 11))"
_NO_CAPABILITIES = ("--bounding-set=-all", "--inh-caps=-all")


def base_python() -> Path:
    """A Python that the user reaches, if this machine has one; else that of these tests."""
    own = Path(getattr(sys, "_base_executable", sys.executable))
    system = shutil.which("python3", path="/usr/local/bin:/usr/bin")
    candidates = [own, *([Path(system)] if system else [])]
    return next((p for p in candidates if reaches(USER, p.resolve()) and _serves(p)), own)


def without_rights(
    command: Sequence[str], *, python: Path, env: Mapping[str, str]
) -> Sequence[str]:
    """A command in this environment and no other, by a process that may do and write nothing.

    As root it is another user, if that one reaches ``python``; else root without capabilities, who
    may no more than the rights of files say.
    """
    if os.geteuid() != 0:
        who: Sequence[str] = ()
    elif reaches(USER, python.resolve()):
        ids = (f"--reuid={USER.uid}", f"--regid={USER.gid}", "--clear-groups")
        who = ("setpriv", *ids, *_NO_CAPABILITIES, "--no-new-privs")
    else:
        who = ("setpriv", *_NO_CAPABILITIES, "--no-new-privs")
    return (
        *("env", "--ignore-environment", *(f"{name}={value}" for name, value in env.items())),
        *who,
        # Also where a folder can be written, no file can be.
        *("sh", "-c", 'ulimit -f 0; exec "$@"', "sh", *command),
    )


def close_to_writing(folder: Path) -> None:
    """Take the right to write a tree from everybody, its owner included."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & 0o555)


def _serves(python: Path) -> bool:
    done = subprocess.run([python, "-c", _SERVES], capture_output=True, check=False)
    return done.returncode == 0
