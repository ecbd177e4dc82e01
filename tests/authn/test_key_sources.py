from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from licet.authn.issuer import TrustedIssuer
from licet.authn.jwks_file import JwksFile
from licet.authn.key_source import KeySource, MergedKeys, StaticKeys
from licet.authn.key_sources import key_source
from licet.authn.remote_keys import RemoteKeys
from licet.errors import ConfigurationError
from licet.testing import TokenFactory, key_set

FACTORY = TokenFactory(key_id="one")


def source(**settings: Any) -> KeySource:
    return key_source(TrustedIssuer(**settings))


def test_each_setting_is_a_source(tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    file.write_text(key_set(FACTORY))
    published = "https://sso.test"
    assert isinstance(source(verification_keys=[FACTORY.public_key]), StaticKeys)
    assert isinstance(source(jwks_file=file), JwksFile)
    assert isinstance(source(jwks_url=f"{published}/jwks"), RemoteKeys)
    assert isinstance(source(issuer=published, discovery=True), RemoteKeys)
    assert isinstance(source(issuer=published, discovery=f"{published}/doc"), RemoteKeys)
    together = source(verification_keys=[FACTORY.public_key], jwks_file=file)
    assert isinstance(together, MergedKeys)
    assert len(together.current().keys) == 2


def test_a_published_set_cannot_serve_secrets() -> None:
    with pytest.raises(ConfigurationError, match="holds no secrets"):
        source(jwks_url="https://sso.test/jwks", algorithm="HS256")
