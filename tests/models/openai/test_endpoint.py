from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from licet.errors import ConfigurationError, ModelCredentialsError
from licet.models.openai.endpoint import DEFAULT_BASE_URL, EndpointSettings, check_base_url
from tests.models.openai.parts import KEY

_VARIABLES = (
    "OPENAI_API_KEY",
    "OPENAI_API_KEY_FILE",
    "OPENAI_BASE_URL",
    "OPENAI_ORG_ID",
    "OPENAI_PROJECT_ID",
)


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in _VARIABLES:
        monkeypatch.delenv(name, raising=False)


def _settings(**settings: Any) -> EndpointSettings:
    return EndpointSettings(provider="OpenAI", **settings)


def test_settings_are_read_from_the_environment_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = _settings()
    monkeypatch.setenv("OPENAI_API_KEY", f" {KEY}\n")
    monkeypatch.setenv("OPENAI_ORG_ID", "org")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj")

    endpoint = settings.resolve()

    assert endpoint.url == f"{DEFAULT_BASE_URL}/chat/completions"
    assert endpoint.headers["Authorization"] == f"Bearer {KEY}"
    assert endpoint.headers["OpenAI-Organization"] == "org"
    assert endpoint.headers["OpenAI-Project"] == "proj"


def test_the_key_may_be_in_a_file_and_is_read_anew_each_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file, settings = tmp_path / "key", _settings()
    monkeypatch.setenv("OPENAI_API_KEY_FILE", str(file))
    for key in (KEY, "sk-rotated"):
        file.write_text(f"{key}\n")
        assert settings.resolve().headers["Authorization"] == f"Bearer {key}"


def test_the_place_of_a_file_that_is_not_there_is_the_logs_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY_FILE", str(tmp_path / "none"))
    with pytest.raises(ModelCredentialsError, match="server's log") as caught:
        _settings().resolve()
    assert str(tmp_path) not in str(caught.value)
    assert str(tmp_path / "none") in str(caught.value.__cause__)


def test_what_is_given_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-environment")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://environment/v1")

    endpoint = _settings(base_url="http://given/v1/", api_key=KEY).resolve()

    assert endpoint.url == "http://given/v1/chat/completions"
    assert endpoint.headers["Authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("value", [None, "", "  "])
def test_openai_without_a_key_is_refused_with_what_to_set(
    monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    if value is not None:
        monkeypatch.setenv("OPENAI_API_KEY", value)
        monkeypatch.setenv("OPENAI_BASE_URL", value)

    with pytest.raises(ModelCredentialsError, match="OPENAI_API_KEY") as caught:
        _settings().resolve()

    assert caught.value.status is None
    assert not caught.value.retryable


def test_another_server_is_asked_without_a_key_when_there_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "Authorization" not in _settings(base_url="http://localhost:11434/v1").resolve().headers
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:8000/v1")
    assert "Authorization" not in _settings().resolve().headers


def test_headers_and_query_of_the_user_are_added() -> None:
    endpoint = _settings(
        base_url="http://host/v1",
        extra_headers={"api-key": "azure-secret"},
        extra_query={"api-version": "2026-01 x"},
    ).resolve()

    assert endpoint.url == "http://host/v1/chat/completions?api-version=2026-01+x"
    assert endpoint.headers["api-key"] == "azure-secret"
    assert "azure-secret" in endpoint.secrets


def test_credentials_in_a_header_stand_for_the_key() -> None:
    headers = {"authorization": f"Bearer {KEY}"}

    assert KEY in _settings(extra_headers=headers).resolve().secrets


@pytest.mark.parametrize("key", ["sk-two\nlines", "sk-ünïcode", "sk-\x00"])
def test_a_key_that_no_header_can_carry_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        _settings(api_key=key).resolve()

    assert "sk-" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:11434",
        "ftp://host/v1",
        "http://",
        "http://host:port/v1",
        "http://[x",
        "http://ho st/v1",
        "http://a\\b/v1",
        "http://a\x00/",
    ],
)
def test_what_is_no_http_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="no http or https URL"):
        check_base_url(url)


@pytest.mark.parametrize("url", ["http://user:pw@host/v1", "http://host/v1?a=b", "http://host/#x"])
def test_a_url_with_credentials_query_or_fragment_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_base_url(url)

    assert url not in str(caught.value)


def test_no_secret_is_in_a_repr() -> None:
    settings = _settings(api_key=KEY, extra_headers={"x-api-key": KEY})

    assert KEY not in repr(settings)
    assert KEY not in repr(settings.resolve())
