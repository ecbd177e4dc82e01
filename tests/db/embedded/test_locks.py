from __future__ import annotations

import os
import threading
from pathlib import Path

from licet.db.embedded import locks


def test_a_lock_that_nobody_holds_is_free_and_not_shared(tmp_path: Path) -> None:
    assert locks.is_free(tmp_path / "lock")
    assert not locks.is_shared(tmp_path / "lock")


def test_sharers_share(tmp_path: Path) -> None:
    handles = [locks.share(tmp_path / "lock") for _ in range(3)]
    assert locks.is_shared(tmp_path / "lock")
    assert not locks.is_free(tmp_path / "lock")
    for handle in handles:
        os.close(handle)
    assert locks.is_free(tmp_path / "lock")


def test_one_that_holds_it_exclusively_keeps_all_others_out(tmp_path: Path) -> None:
    path, took = tmp_path / "lock", threading.Event()

    def share() -> None:
        handle = locks.share(path)
        took.set()
        os.close(handle)

    other = threading.Thread(target=share)
    with locks.exclusively(path):
        assert not locks.is_free(path)
        assert not locks.is_shared(path)
        other.start()
        assert not took.wait(0.05)
    assert took.wait(30)
    other.join()


def test_a_lock_file_is_its_owners_alone_and_no_link_is_followed(tmp_path: Path) -> None:
    with locks.exclusively(tmp_path / "lock"):
        assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    try:
        locks.share(tmp_path / "link")
    except OSError:
        assert not (tmp_path / "elsewhere").exists()
    else:
        raise AssertionError
