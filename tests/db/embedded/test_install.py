from __future__ import annotations

from pathlib import Path

import pytest

from licet.db.embedded import install
from licet.db.embedded.install import install_for, run
from licet.db.embedded.place import Place
from licet.errors import MissingExtraError, StorageError


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, tmp_path / "sockets", None)


def test_the_newest_postgresql_is_taken_for_new_data(place: Place) -> None:
    found = install_for(place)
    assert found.major >= 17
    assert Path(found.program("postgres")).is_file()


def test_data_is_read_by_the_version_that_made_it(place: Place) -> None:
    oldest = min(install._installs())
    place.data.mkdir()
    (place.data / "PG_VERSION").write_text(f"{oldest.major}\n")
    assert install_for(place) == oldest


def test_without_the_wheel_the_extra_is_named(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "_PACKAGE", "no_such_package")
    with pytest.raises(MissingExtraError, match=r"pip install 'licet\[pgserver\]'"):
        install_for(place)


def test_a_program_that_fails_is_quoted(place: Place) -> None:
    with pytest.raises(StorageError, match=r"cat failed \(1\).*no-such-file"):
        run(["/bin/cat", "/no-such-file"], place)
    assert run(["/bin/cat", "/no-such-file"], place, accept=(1,)).returncode == 1
