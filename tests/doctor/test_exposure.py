from __future__ import annotations

from typing import Any

import pytest

from licet.db.in_memory import InMemoryDb
from licet.doctor.exposure import ExposureCheck
from licet.os import Settings
from tests.doctor.deployments import codes, deployed

LOOPBACK = "127.0.0.1"


async def test_a_server_that_asks_nobody_who_they_are_is_not_for_others() -> None:
    nobody: dict[str, Any] = {"authorization": False, "db": InMemoryDb()}
    assert await codes(ExposureCheck(), deployed(**nobody)) == ["authorization_off"]
    assert await codes(ExposureCheck(), deployed(**nobody, host=LOOPBACK)) == []


async def test_pages_that_show_every_route_are_told() -> None:
    shown: dict[str, Any] = {"settings": Settings(), "db": InMemoryDb()}
    assert await codes(ExposureCheck(), deployed(**shown)) == ["docs_public"]
    assert await codes(ExposureCheck(), deployed(**shown, host=LOOPBACK)) == []
    assert await codes(ExposureCheck(), deployed(db=InMemoryDb())) == []


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("https://app.example.com", []),
        ("https://app.example.com:8443", []),
        ("app://local", []),
        ("http://localhost:3000", []),
        ("http://127.0.0.1:3000", []),
        ("http://app.example.com", ["cors_insecure"]),
        ("null", ["cors_insecure"]),
        ("https://app.example.com/", ["cors_useless"]),
        ("https://App.example.com", ["cors_useless"]),
        ("https://app.example.com:443", ["cors_useless"]),
        ("http://app.example.com:80", ["cors_useless"]),
        ("https://user@app.example.com", ["cors_useless"]),
        ("https://app.example.com?x", ["cors_useless"]),
        ("https://app.example.com:port", ["cors_useless"]),
        ("app.example.com", ["cors_useless"]),
        ("https://*.example.com", ["cors_useless"]),
        ("", ["cors_useless"]),
    ],
)
async def test_origins_are_those_that_browsers_send(origin: str, expected: list[str]) -> None:
    deployment = deployed(db=InMemoryDb(), cors_allowed_origins=[origin])
    assert await codes(ExposureCheck(), deployment) == expected


async def test_on_this_machine_pages_may_come_over_http() -> None:
    origins = ["http://app.test"]
    deployment = deployed(db=InMemoryDb(), cors_allowed_origins=origins, host=LOOPBACK)
    assert await codes(ExposureCheck(), deployment) == []
