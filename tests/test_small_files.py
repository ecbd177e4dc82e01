from __future__ import annotations

from pathlib import Path

import pytest

from licet.errors import ConfigurationError
from licet.small_files import read_small


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none.*cannot be read: No such file"):
        read_small(tmp_path / "none")


def test_an_endless_file_is_not_read_to_its_end() -> None:
    with pytest.raises(ConfigurationError, match="no key does"):
        read_small(Path("/dev/zero"))
