from __future__ import annotations

import os
import socket

import pytest

from licet.os.values import identifier
from licet.runs.executor_id import new_executor_id


def test_no_two_are_the_same_and_each_says_where_it_is() -> None:
    names = {new_executor_id() for _ in range(100)}
    assert len(names) == 100
    assert all(f"-{os.getpid()}-" in name for name in names)


@pytest.mark.parametrize("host", ["", "h" * 5000])
def test_it_can_be_stored_whatever_the_host_is_called(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: host)
    name = new_executor_id()
    assert identifier(name, "executor_id") == name
