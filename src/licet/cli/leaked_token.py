"""A token that got into wrong hands: what of it is revoked, of whose, and until when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from licet.authn.refusal import TokenRefusedError
from licet.authn.service_accounts import is_service_token, token_digest
from licet.authn.signature import check_signature
from licet.cli.dates import LAST_EPOCH_SECOND
from licet.cli.token_reading import ReadToken, read_token
from licet.db.trust_records import RevocationKind
from licet.errors import InvalidInputError, NotFoundError

if TYPE_CHECKING:
    from licet.authn.issuer import TrustedIssuer
    from licet.authn.key_source import KeySource
    from licet.cli.program_db import ProgramDb

_FIELD = "--token-file"


@dataclass(frozen=True, slots=True, kw_only=True)
class LeakedToken:
    """What to revoke so that a token opens nothing. ``remarks`` are for people.

    ``expires_at`` is epoch seconds: until when it has to be remembered; None: nobody can say.
    """

    kind: RevocationKind
    value: str
    issuer_alias: str | None = None
    expires_at: float | None = None
    remarks: tuple[str, ...] = ()


async def leaked_token(
    token: bytes, program_db: ProgramDb, *, issuer_alias: str | None, now: float
) -> LeakedToken:
    """What a token is known by. It does not have to verify; ``now`` is epoch seconds.

    Args:
        token: the token, of an issuer or of a service account.
        program_db: whose issuers and accounts are looked at.
        issuer_alias: whose token it is; None: the issuer's that it names.
        now: epoch seconds.

    Raises:
        InvalidInputError: it is no token that is taken there.
        NotFoundError: no service account has it.
    """
    if is_service_token(token):
        return await _of_service_account(token, program_db)
    read = read_token(token)
    if read.refusal is not None or read.token_id is None:
        raise InvalidInputError(_FIELD, f"a token as servers take them, but {read.refusal}")
    issuer, source = _issuer(read, program_db, issuer_alias)
    unverified = _unverified(token, issuer, source)
    if unverified is not None:
        # What it says of its end may be a lie, after which the true token would open again.
        remark = f"The token was not verified ({unverified}): what it says of its expiry is not"
        return _of(read, issuer, None, f"{remark} looked at.")
    end = _end(read, issuer)
    if end is None or end <= now:
        return _of(read, issuer, None, "The token has expired. What it started ends, too.")
    return _of(read, issuer, end)


def _of(
    read: ReadToken, issuer: TrustedIssuer, expires_at: float | None, *remarks: str
) -> LeakedToken:
    return LeakedToken(
        kind=RevocationKind.TOKEN,
        value=read.token_id or "",
        issuer_alias=issuer.alias,
        expires_at=expires_at,
        remarks=remarks,
    )


async def _of_service_account(token: bytes, program_db: ProgramDb) -> LeakedToken:
    digest = token_digest(token)
    account = await program_db.store.find_service_account(digest)
    if account is None:
        raise NotFoundError(
            "Service account",
            "",
            f"{_FIELD}: no service account has this token, which opens nothing; is it whole?",
        )
    which = "the token" if digest == account.token_digest else "an older token"
    return LeakedToken(
        kind=RevocationKind.SERVICE_ACCOUNT,
        value=account.id,
        remarks=(f"It is {which} of the service account {account.name!r}.",),
    )


def _issuer(
    read: ReadToken, program_db: ProgramDb, alias: str | None
) -> tuple[TrustedIssuer, KeySource]:
    """The issuer of that alias, else the one whose tokens name themselves so."""
    named = read.claims.get("iss")
    fitting = [
        (issuer, source)
        for issuer, source in program_db.issuers
        if (issuer.issuer in {None, named} if alias is None else issuer.alias == alias)
    ]
    if len(fitting) == 1:
        return fitting[0]
    known = ", ".join(issuer.alias for issuer, _ in program_db.issuers)
    if alias is not None:
        raise InvalidInputError("--issuer", f"the alias of a trusted issuer, one of: {known}")
    raise InvalidInputError(
        _FIELD,
        f"a token of a trusted issuer; this one names another (iss). If it is one all the same, "
        f"--issuer says whose: {known}",
    )


def _unverified(token: bytes, issuer: TrustedIssuer, source: KeySource) -> str | None:
    """Why the signature is not known to be the issuer's; None: it is."""
    from licet.authn.jws import parse_token

    try:
        check_signature(parse_token(token), issuer=issuer, key_set=source.current(), source=source)
    except TokenRefusedError as refused:
        return str(refused)
    return None


def _end(read: ReadToken, issuer: TrustedIssuer) -> float | None:
    """From when on no server takes the token, epoch seconds; None: it has no date that is one."""
    expiry = read.claims.get("exp")
    if not isinstance(expiry, int | float) or isinstance(expiry, bool):
        return None
    # A server whose clock is late by the leeway takes it for that much longer.
    end = float(expiry) + 2 * issuer.leeway_seconds
    return min(end, LAST_EPOCH_SECOND)
