"""Auth servers on this machine: what each publishes, and tokens of the form that each issues.

The forms are those of the providers' documentation: the pages that docs/authorization.md names.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from licet.testing import TokenFactory

Claims = dict[str, Any]
SIGNER = TokenFactory(key_id="current+key=")
NEXT = TokenFactory(fresh_key=True, key_id="next")
SUBJECT = "248289dc-e4fc-4b6a-9bd8-1a2b3c4d5e6f"
EMPLOYEE = "690222be-ff1a-4d56-abd1-7e4f7d38e474"
CLIENT_ID = "the-client"


@dataclass(frozen=True, kw_only=True)
class Provider:
    """One auth server.

    ``host`` and ``path`` make up its issuer in the document; ``keys_path`` is where its keys are.
    ``access`` are the claims of a user's access token; ``without_rights`` replaces some of them
    where nobody has assigned anything; ``refused`` are claims of tokens that open nothing, ID
    tokens first, each with what its refusal says.
    """

    host: str
    path: str
    keys_path: str
    keys: tuple[Mapping[str, Any], ...]
    access: Claims
    without_rights: Claims
    refused: tuple[tuple[Claims, str], ...]
    subject: str = SUBJECT
    typ: str = "JWT"

    @property
    def issuer(self) -> str:
        """As the document has it."""
        return self.host + self.path

    def app(self) -> Starlette:
        """Its discovery document and its key set."""

        async def document(request: Request) -> JSONResponse:
            base = str(request.base_url).rstrip("/")
            return JSONResponse({"issuer": base + self.path, "jwks_uri": base + self.keys_path})

        async def keys(_request: Request) -> JSONResponse:
            return JSONResponse({"keys": list(self.keys)})

        known = self.path.removesuffix("/") + "/.well-known/openid-configuration"
        return Starlette(routes=[Route(known, document), Route(self.keys_path, keys)])

    def token(self, base: str, claims: Claims, **changed: Any) -> str:
        """A token of these claims, of the server that is at ``base``; None takes a claim away."""
        now = int(time.time())
        usual = {"iss": base + self.path, "iat": now, "exp": now + 3600}
        given = {**usual, **claims, **changed}
        said = {name: value for name, value in given.items() if value is not None}
        return SIGNER.sign(said, headers={"typ": self.typ})


def jwk(factory: TokenFactory, *without: str, **more: Any) -> Mapping[str, Any]:
    """A key as a provider publishes it."""
    return {name: v for name, v in {**factory.jwk, **more}.items() if name not in without}


CERTIFICATE = {"x5c": ["MIIDIj"], "x5t": "thumb"}

AUTH0 = Provider(
    host="https://example.eu.auth0.com",
    path="/",
    keys_path="/.well-known/jwks.json",
    keys=(jwk(SIGNER, **CERTIFICATE), jwk(NEXT, **CERTIFICATE)),
    access={
        "sub": "auth0|6553da60a54af58e29493993",
        "aud": ["https://shop.example.com/agents", "https://example.eu.auth0.com/userinfo"],
        "azp": CLIENT_ID,
        "scope": "openid profile",
        "permissions": ["agents:read", "agents:run", "sessions:write"],
    },
    # Whoever may ask for any scope has not been given a permission.
    without_rights={"permissions": [], "scope": "openid agents:read sessions:write"},
    refused=(
        ({"sub": "auth0|65", "aud": CLIENT_ID, "sid": "s", "nonce": "n"}, "another audience"),
        ({"sub": "auth0|65", "aud": CLIENT_ID, "sid": "s"}, "another audience"),
    ),
    subject="auth0|6553da60a54af58e29493993",
)
AUTH0_RFC9068 = Provider(
    host=AUTH0.host,
    path=AUTH0.path,
    keys_path=AUTH0.keys_path,
    keys=AUTH0.keys,
    access={
        **AUTH0.access,
        "azp": None,
        "client_id": CLIENT_ID,
        "jti": "73WakrfVbNJBaAmhQtEeDv",
    },
    without_rights=AUTH0.without_rights,
    refused=AUTH0.refused,
    subject=AUTH0.subject,
    typ="at+jwt",
)

_KEYCLOAK_ID = {"sub": SUBJECT, "aud": "shop-web", "azp": "shop-web", "typ": "ID", "sid": "s"}
KEYCLOAK = Provider(
    host="https://sso.example.com",
    path="/realms/shop",
    keys_path="/realms/shop/protocol/openid-connect/certs",
    keys=(jwk(NEXT, alg="RSA-OAEP", use="enc"), jwk(SIGNER, **CERTIFICATE)),
    access={
        "jti": "onrtac:5f6a3c1e-0000-4000-8000-000000000000",
        "aud": ["shop-api", "account"],
        "sub": SUBJECT,
        "typ": "Bearer",
        "azp": "shop-web",
        "sid": "9d0b1a54-0000-4000-8000-000000000000",
        "acr": "1",
        "allowed-origins": ["https://shop.example.com"],
        "realm_access": {"roles": ["default-roles-shop", "offline_access", "agent-user"]},
        "resource_access": {"account": {"roles": ["view-profile"]}},
        "scope": "openid email profile",
        "preferred_username": "uma",
    },
    without_rights={"realm_access": None},
    refused=(
        ({**_KEYCLOAK_ID, "aud": "shop-api"}, "no access token"),
        (_KEYCLOAK_ID, "another audience"),
        ({"sub": SUBJECT, "aud": "shop-api", "typ": "Refresh"}, "no access token"),
        # The mapper for old adapters, which the document warns of.
        ({"sub": SUBJECT, "aud": "shop-api", "typ": "Bearer", "nonce": "n"}, "'nonce'"),
        # No audience mapper; and no mapper of the subject.
        ({"sub": SUBJECT, "aud": "account", "typ": "Bearer"}, "another audience"),
        ({"sub": SUBJECT, "typ": "Bearer"}, "no audience"),
        ({"aud": "shop-api", "typ": "Bearer"}, "'sub' is missing"),
    ),
)

_TENANT = "8eaef023-2b34-4da1-9baa-8bc8c9d6a490"
_API = "6e74172b-be56-4843-9ff4-e66a39bb12e3"
_ENTRA: Claims = {
    "aud": _API,
    "nbf": int(time.time()),
    "aio": "AXQAi/8IAAAA",
    "name": "Uma",
    "oid": EMPLOYEE,
    "preferred_username": "uma@shop.example",
    "rh": "I",
    "roles": ["Agents.User"],
    "sub": "HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ",
    "tid": _TENANT,
    "uti": "fqiBqXLPj0eQa82S-IYFAA",
    "ver": "2.0",
}
ENTRA = Provider(
    host="https://login.microsoftonline.com",
    path=f"/{_TENANT}/v2.0",
    keys_path=f"/{_TENANT}/discovery/v2.0/keys",
    # Its keys name no algorithm.
    keys=(
        jwk(NEXT, "alg", **CERTIFICATE, issuer="https://login.microsoftonline.com/x/v2.0"),
        jwk(SIGNER, "alg", **CERTIFICATE, issuer="https://login.microsoftonline.com/x/v2.0"),
    ),
    access={**_ENTRA, "azp": CLIENT_ID, "azpacr": "1", "scp": "access_as_user"},
    without_rights={"roles": None},
    refused=(
        ({**_ENTRA, "nonce": "n"}, "no access token"),
        # One registration for both, and a client that sends no nonce.
        (_ENTRA, "'azp' is missing"),
        ({**_ENTRA, "aud": CLIENT_ID}, "another audience"),
    ),
    subject=EMPLOYEE,
)

_POOL = "/eu-central-1_EXAMPLE"
COGNITO = Provider(
    host="https://cognito-idp.eu-central-1.amazonaws.com",
    path=_POOL,
    keys_path=f"{_POOL}/.well-known/jwks.json",
    keys=(jwk(NEXT), jwk(SIGNER)),
    access={
        "sub": SUBJECT,
        "cognito:groups": ["agent-users"],
        "version": 2,
        "client_id": "1example23456789",
        "origin_jti": str(uuid.uuid4()),
        "event_id": str(uuid.uuid4()),
        "token_use": "access",
        "scope": "openid phone shop/agents",
        "auth_time": int(time.time()),
        "jti": str(uuid.uuid4()),
        "username": "uma",
    },
    without_rights={"cognito:groups": None},
    refused=(
        (
            {
                "sub": SUBJECT,
                "aud": "1example23456789",
                "cognito:groups": ["agent-users"],
                "cognito:username": "uma",
                "token_use": "id",
            },
            "no audience",
        ),
        ({"sub": SUBJECT, "client_id": "1example23456789", "token_use": "id"}, "'token_use'"),
        ({"sub": SUBJECT, "client_id": "another", "token_use": "access"}, "another audience"),
    ),
)
