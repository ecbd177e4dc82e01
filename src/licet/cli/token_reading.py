"""A token, read for a person: what it says, and what its scopes would grant. Nothing is trusted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from licet.authn.bearer import MAX_TOKEN_BYTES
from licet.authn.claims import optional_identifier, scopes_in
from licet.authn.issuer import DEFAULT_SCOPES_CLAIMS
from licet.authn.jws import decode_segment, json_object, parse_token
from licet.authn.refusal import TokenRefusedError
from licet.authz.families import DEFAULT_FAMILIES
from licet.authz.scope import AdminScope, Scope, UnusableScope, parse_scope
from licet.cli.duration import describe_date

_DATES = ("exp", "nbf", "iat")


@dataclass(frozen=True, slots=True)
class ReadToken:
    """What could be read of a token.

    ``refusal`` is why no server takes a token of this form, None if one may; ``token_id`` is by
    what servers know such a token: its ``jti``, else the digest that stands for it.
    """

    header: Mapping[str, Any] = field(default_factory=dict)
    claims: Mapping[str, Any] = field(default_factory=dict)
    refusal: str | None = None
    token_id: str | None = None


def read_token(token: bytes) -> ReadToken:
    """Take a token apart, by the rules of the server. Any bytes are taken; no signature is."""
    if len(token) > MAX_TOKEN_BYTES:
        return ReadToken(refusal=f"the token is larger than {MAX_TOKEN_BYTES} bytes")
    header: Mapping[str, Any] = {}
    claims: Mapping[str, Any] = {}
    try:
        header_segment, _, rest = token.partition(b".")
        header = json_object(decode_segment(header_segment, "header"), "header")
        signing_input = parse_token(token).signing_input
        claims = json_object(decode_segment(rest.partition(b".")[0], "payload"), "payload")
        named = optional_identifier(claims, "jti")
    except TokenRefusedError as refused:
        return ReadToken(header, claims, str(refused))
    return ReadToken(header, claims, None, named or hashlib.sha256(signing_input).hexdigest())


def described(members: Mapping[str, Any], *, now: float) -> list[tuple[str, str]]:
    """Rows of name and value; dates also as people read them. ``now`` is epoch seconds."""
    return [(name, _describe(name, value, now)) for name, value in members.items()]


def readable_scopes(claims: Mapping[str, Any]) -> tuple[str, ...]:
    """The scopes, as a server finds them by default; none where it would refuse the claim."""
    try:
        return scopes_in(claims, DEFAULT_SCOPES_CLAIMS)
    except TokenRefusedError:
        return ()


def describe_scope(text: str) -> str:
    """What a scope grants, or why it grants nothing."""
    match parse_scope(text):
        case AdminScope():
            return "everything: the administrator's"
        case Scope(resource, action, None) if DEFAULT_FAMILIES.known[resource].has_ids:
            return f"{action} all {resource}"
        case Scope(resource, action, None):
            return f"{action} the {resource}"
        case Scope(resource, action, identifier):
            return f"{action} one of the {resource}: {identifier}"
        case UnusableScope(reason=reason):
            return f"nothing: {reason} (unless the server maps routes of its own to it)"


def _describe(name: str, value: Any, now: float) -> str:
    try:
        shown = json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return "nested too deeply to be shown"
    if name in _DATES and isinstance(value, int | float) and not isinstance(value, bool):
        return f"{shown} ({describe_date(name, value, now=now)})"
    return shown
