"""Keys: none serves for what it is not, none is found by what a token says, none is too small."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import RSAAlgorithm

from licet.errors import ConfigurationError
from licet.testing import TokenFactory, key_set
from tests.attack.forge import claims, forged, header_of
from tests.attack.target import Target, Watch, pieces_of, target
from tests.support.world import World

RSA, SECRET = TokenFactory(), TokenFactory("HS256")
FIRST, SECOND = TokenFactory(key_id="first"), TokenFactory(key_id="second", fresh_key=True)
MALLORY = TokenFactory(fresh_key=True)
RSA_ALONE, BOTH, NAMED = "RS256 alone", "RS256 and HS256", "two named keys"


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Target]]:
    file = tmp_path_factory.mktemp("keys") / "jwks.json"
    file.write_text(key_set(FIRST, SECOND))
    both: dict[str, Any] = {
        "algorithms": ["RS256", "HS256"],
        "verification_keys": [RSA.public_key, SECRET.private_key],
    }
    with (
        target(World(tokens=RSA)) as rsa_alone,
        target(World(tokens=RSA), **both) as with_secret,
        target(World(tokens=FIRST), jwks_file=file) as named,
    ):
        yield {RSA_ALONE: rsa_alone, BOTH: with_secret, NAMED: named}


@pytest.fixture
def watch(caplog: pytest.LogCaptureFixture) -> Watch:
    keys = (RSA.public_key, SECRET.private_key, FIRST.public_key, SECOND.public_key)
    return Watch(caplog, [piece for key in keys for piece in pieces_of(key)])


def refused(attacked: Target, watch: Watch, token: bytes, reason: str) -> None:
    watch.refused(attacked, lambda: attacked.knock(token), sent=token, reason=reason)


def test_each_takes_what_its_keys_sign(targets: dict[str, Target], watch: Watch) -> None:
    takes = {RSA_ALONE: [RSA], BOTH: [RSA, SECRET], NAMED: [FIRST, SECOND]}
    for name, factories in takes.items():
        for tokens in factories:
            attacked, token = targets[name], forged(tokens, claims())
            watch.let_in(attacked, lambda a=attacked, t=token: a.knock(t))  # type: ignore[misc]  # bound now


def public_forms(pem: str) -> dict[str, bytes]:
    """The public key, in every form in which a server might hold it."""
    key = serialization.load_pem_public_key(pem.encode())
    der = key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    pkcs1 = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.PKCS1)
    stripped = pem.strip().encode()
    jwk = RSA.jwk
    required = {name: jwk[name] for name in ("e", "kty", "n")}
    return {
        "PEM": stripped,
        "PEM and a newline": stripped + b"\n",
        "PEM and two": stripped + b"\n\n",
        "PEM with CRLF": stripped.replace(b"\n", b"\r\n") + b"\r\n",
        "PEM in one line": stripped.replace(b"\n", b""),
        "PEM with a NUL": stripped + b"\0",
        "PEM, PKCS 1": pkcs1,
        "its base64": b"".join(stripped.split(b"\n")[1:-1]),
        "DER": der,
        "DER, PKCS 1": key.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.PKCS1
        ),
        "DER, hexadecimal": der.hex().encode(),
        "OpenSSH": key.public_bytes(
            serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
        ),
        "JWK": json.dumps(jwk).encode(),
        "JWK, as a thumbprint has it": json.dumps(required, separators=(",", ":")).encode(),
        "key set": key_set(RSA).encode(),
        "modulus": base64.urlsafe_b64decode(jwk["n"] + "=="),
        "modulus in base64": jwk["n"].encode(),
        "its repr": repr(key).encode(),
        "digest of DER": hashlib.sha256(der).digest(),
        "nothing": b"",
        "a NUL": b"\0",
        "null": b"null",
        "None": b"None",
        "the algorithm's name": b"RS256",
    }


@pytest.mark.parametrize("form", public_forms(RSA.public_key))
@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_a_public_key_is_no_secret(
    targets: dict[str, Target], watch: Watch, form: str, algorithm: str
) -> None:
    secret = public_forms(RSA.public_key)[form]
    token = forged(RSA, claims(), header_of(RSA, alg=algorithm), key=secret, algorithm=algorithm)
    allowed = "the signature does not match any key" if algorithm == "HS256" else "not allowed here"
    for name, reason in ((RSA_ALONE, "not allowed here"), (BOTH, allowed)):
        refused(targets[name], watch, token, reason)
    named = forged(
        RSA, claims(), header_of(RSA, alg=algorithm, kid="first"), key=secret, algorithm=algorithm
    )
    refused(targets[NAMED], watch, named, "not allowed here")


def test_a_secret_is_no_key_of_another_algorithm(targets: dict[str, Target], watch: Watch) -> None:
    hmac_as_rsa = forged(SECRET, claims(), header_of(SECRET, alg="RS256"))
    rsa_as_hmac = forged(RSA, claims(), header_of(RSA, alg="HS256"))
    longer = forged(SECRET, claims(), header_of(SECRET, alg="HS512"), algorithm="HS512")
    for token in (hmac_as_rsa, rsa_as_hmac):
        refused(targets[BOTH], watch, token, "the signature does not match any key")
    refused(targets[BOTH], watch, longer, "the algorithm 'HS512' is not allowed here")


NAMES: dict[str, object] = {
    "a path": "../../../../dev/null",
    "a file that is empty": "/dev/null",
    "a file that is known": "/proc/self/environ",
    "a file by URL": "file:///dev/null",
    "a URL": "http://127.0.0.1:1/keys",
    "SQL": "x' UNION SELECT 'secret' --",
    "SQL that is true": "' OR '1'='1",
    "a command": "$(id)|`id`;id",
    "a template": "{{7*7}}${7*7}%s%n",
    "LDAP": "*)(uid=*",
    "the name of secrets": "secret",
    "another key's thumbprint": "thumbprint",
    "a name in other letters": "FIRST",
    "a name and a space": "first ",
    "255 letters": "k" * 255,
}


@pytest.mark.parametrize("which", NAMES)
@pytest.mark.parametrize("guess", [b"", b"secret", b"\0", b"\n"], ids=repr)
def test_a_name_finds_no_key(
    targets: dict[str, Target], watch: Watch, which: str, guess: bytes
) -> None:
    name = NAMES[which]
    by_secret = forged(SECRET, claims(), header_of(SECRET, kid=name), key=guess, algorithm="HS256")
    refused(targets[BOTH], watch, by_secret, "the signature does not match any key")
    refused(targets[NAMED], watch, by_secret, "the algorithm 'HS256' is not allowed here")
    by_other_key = forged(RSA, claims(), header_of(RSA, kid=name), key=MALLORY.private_key)
    for attacked in targets.values():
        refused(attacked, watch, by_other_key, "the signature does not match any key")
    # Not even the right key serves under another name, where keys have names.
    by_right_key = forged(FIRST, claims(), header_of(FIRST, kid=name))
    refused(targets[NAMED], watch, by_right_key, "the signature does not match any key")


@pytest.mark.parametrize(
    "name",
    [
        *(None, "", 0, 1.5, True, [], ["first"], {"kid": "first"}),
        *("\0", "first\0", "a\nb", "k" * 256, "k" * 9000, "\u200b", "first\u202e"),
    ],
    ids=lambda name: repr(name)[:20],
)
def test_a_name_that_is_none(targets: dict[str, Target], watch: Watch, name: object) -> None:
    for attacked in targets.values():
        tokens = attacked.tokens
        token = forged(tokens, claims(), {**header_of(tokens), "kid": name})
        refused(attacked, watch, token, "kid is not a text of 1 to 255 printable characters")


class TestTwoNamedKeys:
    @pytest.fixture
    def named(self, targets: dict[str, Target]) -> Target:
        return targets[NAMED]

    @pytest.mark.parametrize(("signed_by", "says"), [(FIRST, "second"), (SECOND, "first")])
    def test_the_name_of_the_other(
        self, named: Target, watch: Watch, signed_by: TokenFactory, says: str
    ) -> None:
        token = forged(signed_by, claims(), header_of(signed_by, kid=says))
        refused(named, watch, token, "does not match the key that the token names")

    @pytest.mark.parametrize("signed_by", [FIRST, SECOND])
    def test_no_name(self, named: Target, watch: Watch, signed_by: TokenFactory) -> None:
        token = forged(signed_by, claims(), header_of(signed_by, kid=None))
        refused(named, watch, token, "the signature does not match any key")

    def test_two_names(self, named: Target, watch: Watch) -> None:
        for names in ('"first","kid":"second"', '"second","kid":"first"'):
            header = f'{{"alg":"RS256","typ":"JWT","kid":{names}}}'.encode()
            refused(named, watch, forged(FIRST, claims(), header), "has a member twice")

    def test_somebody_elses_key_under_our_name(self, named: Target, watch: Watch) -> None:
        token = forged(MALLORY, claims(), header_of(MALLORY, kid="first"))
        refused(named, watch, token, "does not match the key that the token names")


def small_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 1024)  # noqa: S505 - that it is small is the point


def on_p256() -> str:
    return _pem(ec.generate_private_key(ec.SECP256R1()).public_key())


def _pem(key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey) -> str:
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()


def jwk_of(key: rsa.RSAPrivateKey, **more: str) -> dict[str, Any]:
    return {**RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), "use": "sig", **more} | {
        "key_ops": ["verify"]
    }


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"verification_keys": [_pem(small_key().public_key())]}, "1024 bits; at least 2048"),
        ({"verification_keys": [on_p256()]}, "can serve ES256, but the algorithms allowed are"),
        ({"verification_keys": [RSA.public_key, on_p256()]}, "can serve ES256"),
        ({"verification_keys": [RSA.public_key], "algorithm": "HS256"}, "can serve PS256"),
        ({"verification_keys": [SECRET.private_key]}, "can serve HS256"),
        ({"verification_keys": ["s" * 31], "algorithm": "HS256"}, "at least 32"),
        ({"verification_keys": [RSA.public_key], "algorithm": "none"}, "'none' is not taken"),
        ({"verification_keys": [RSA.private_key]}, "a private key was given"),
        *(
            ({"verification_keys": [form], "algorithm": "HS256"}, "can serve PS256|not in PEM form")
            for name, form in public_forms(RSA.public_key).items()
            if name.startswith(("PEM and", "DER", "JWK", "OpenSSH", "its base64"))
            and name != "DER, hexadecimal"
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_verify_refuses_to_start(config: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason), target(**config):
        raise AssertionError("it started")


@pytest.mark.parametrize("which", ["small", "encryption", "private", "secret", "nothing"])
def test_a_key_set_without_a_usable_key_refuses_to_start(which: str, tmp_path: Path) -> None:
    private = serialization.load_pem_private_key(RSA.private_key.encode(), None)
    assert isinstance(private, rsa.RSAPrivateKey)
    exponent = private.private_numbers().d
    d = base64.urlsafe_b64encode(exponent.to_bytes(256)).rstrip(b"=").decode()
    keys: list[dict[str, Any]] = {
        "small": [jwk_of(small_key(), kid="small")],
        "encryption": [{**RSA.jwk, "use": "enc"}],
        "private": [{**RSA.jwk, "d": d}],
        "secret": [SECRET.jwk],
        "nothing": [],
    }[which]
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps({"keys": keys}))
    with pytest.raises(ConfigurationError, match=r"can be used|is empty"), target(jwks_file=file):
        raise AssertionError("it started")


def test_a_small_key_beside_a_good_one_verifies_nothing(tmp_path: Path, watch: Watch) -> None:
    key = small_key()
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps({"keys": [jwk_of(key, kid="small"), FIRST.jwk]}))
    with target(World(tokens=FIRST), jwks_file=file) as attacked:
        watch.let_in(attacked, lambda: attacked.knock(forged(FIRST, claims())))
        token = forged(FIRST, claims(), header_of(FIRST, kid="small"), key=pem)
        refused(attacked, watch, token, "the signature does not match any key")
