from __future__ import annotations

import os
import pwd
import stat
import threading
from pathlib import Path

import pytest

from licet.db.embedded import place as module
from licet.db.embedded.place import ServerUser, make_place, make_private, reaches
from licet.errors import StorageError
from tests.support.postgres import reachable_folder

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="what root does differently")


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def somebody_else() -> ServerUser:
    return ServerUser("somebody", os.geteuid() + 1, os.getegid() + 1)


def test_who_reaches_what_is_read_from_every_folder_on_the_way(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    ourselves = ServerUser("we", os.geteuid(), os.getegid())
    assert reaches(ourselves, deep)
    assert reaches(ourselves, deep / "not yet there")
    deep.parent.chmod(0o070)
    assert not reaches(ourselves, deep.parent)
    deep.parent.chmod(0o700)
    assert not reaches(somebody_else(), deep.parent)


def test_a_folder_for_all_is_reached_by_all() -> None:
    with reachable_folder() as folder:
        assert reaches(somebody_else(), folder)
        folder.chmod(0o710)
        assert not reaches(somebody_else(), folder)
        assert reaches(ServerUser("x", os.geteuid() + 1, os.getegid()), folder)


def test_a_private_folder_is_made_once(tmp_path: Path) -> None:
    make_private(tmp_path / "new", None)
    make_private(tmp_path / "new", None)
    assert mode_of(tmp_path / "new") == 0o700


@needs_root
def test_a_folder_that_another_process_is_about_to_give_away_is_waited_for(tmp_path: Path) -> None:
    path, user = tmp_path / "sockets", somebody_else()
    path.mkdir(mode=0o700)
    giving = threading.Timer(0.05, os.chown, (path, user.uid, user.gid))
    giving.start()
    make_private(path, user)
    giving.join()
    assert path.stat().st_uid == user.uid


@pytest.mark.parametrize("what", ["open", "link", "file", "theirs"])
def test_a_folder_that_is_not_private_is_not_used(tmp_path: Path, what: str) -> None:
    path = tmp_path / "sockets"
    user = None
    if what == "open":
        path.mkdir()
        path.chmod(0o755)
    elif what == "link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        path.symlink_to(tmp_path / "elsewhere")
    elif what == "file":
        path.touch(mode=0o700)
    else:
        path.mkdir(mode=0o700)
        user = somebody_else()
    with pytest.raises(StorageError, match="move it away"):
        make_private(path, user)


def test_no_folder_on_the_way_is_changed() -> None:
    with reachable_folder() as folder:
        (folder / "between").mkdir()
        (folder / "between").chmod(0o755)
        made = make_place(folder / "between" / "new" / "postgres")
        assert made.home == folder / "between" / "new" / "postgres"
        assert mode_of(folder) == 0o711
        assert mode_of(folder / "between") == 0o755


@needs_root
def test_a_folder_out_of_the_servers_reach_is_replaced_and_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tmp_path.chmod(0o700)
    with reachable_folder() as homes:
        monkeypatch.setattr(module, "_ROOTS_HOMES", homes / "licet")
        made = make_place(tmp_path / "postgres")
        assert made.home.parent == homes / "licet"
        assert made.user is not None
        assert reaches(made.user, made.home)
        assert make_place(tmp_path / "postgres").home == made.home
        assert make_place(tmp_path / "other").home != made.home
    assert list(tmp_path.iterdir()) == []
    assert mode_of(tmp_path) == 0o700
    assert str(made.home) in caplog.text


@needs_root
def test_without_an_unprivileged_user_root_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_UNPRIVILEGED", "no-such-user")
    with pytest.raises(StorageError, match="start licet as another user"):
        make_place(tmp_path / "postgres")


@needs_root
def test_root_runs_it_as_nobody() -> None:
    user = module.server_user()
    assert user is not None
    assert user.uid == pwd.getpwnam("nobody").pw_uid


def test_a_folder_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    with reachable_folder() as folder:
        (folder / "file").touch()
        with pytest.raises(StorageError, match="cannot have its folder"):
            make_place(folder / "file" / "postgres")
