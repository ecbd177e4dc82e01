"""Whatever happens to keys, revocations and time: with the cache the answer is the same."""

from __future__ import annotations

import asyncio

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from licet.authn.bearer import BearerAuthenticator
from licet.authn.cache import CachingVerifier
from licet.authn.jwt import IssuersVerifier, JwtVerifier
from licet.authn.jwt_tokens import JwtTokens
from licet.authn.key_set import KeySet
from licet.authn.revoked import RevocationAuthenticator
from licet.authn.trust_state import TrustState
from licet.db.trust_records import RevocationKind, TrustChanges
from tests.authn.parts import NOW, Clock, Keys, bearer, factory, issuer_of, keys_of, revocation

MAX_TOKENS = 4
FACTORIES = [factory("HS256", fresh_key=True, key_id=name) for name in ("k-1", "k-2")]
NAMES = ["https://one.example", "https://two.example"]
TIMES = [
    {"iat": NOW, "exp": NOW + 20},
    {"iat": NOW - 20, "exp": NOW},
    {"nbf": NOW + 20, "exp": NOW + 60},
    {"iat": NOW + 20, "exp": NOW + 21},
    {"exp": NOW + 60},
]
TOKENS = [
    tokens.sign(
        {"iss": name, "sub": "alice", "jti": f"t-{number}", "sid": f"s-{number % 2}", **times}
    )
    for tokens in FACTORIES
    for name in NAMES
    for number, times in enumerate(TIMES)
]
KEY_SETS = [KeySet(incomplete=True), *(keys_of(each) for each in FACTORIES), keys_of(*FACTORIES)]
REVOCABLE = {
    RevocationKind.TOKEN: [f"t-{number}" for number in range(len(TIMES))],
    RevocationKind.SESSION: ["s-0", "s-1"],
    RevocationKind.KEY: ["k-1", "k-2"],
    RevocationKind.SUBJECT: ["alice"],
    RevocationKind.LOGOUT: ["alice"],
}

aliases = st.sampled_from(["first", "second"])
key_sets = st.sampled_from(KEY_SETS)
revocables = st.sampled_from(
    [(kind, value) for kind, values in REVOCABLE.items() for value in values]
)


class Asking(RuleBasedStateMachine):
    """Asks for tokens while everything around them changes."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.keys = {alias: Keys(KEY_SETS[-1]) for alias in ("first", "second")}
        self.state = TrustState(now=self.clock, monotonic=Clock(0))
        self.state.confirm(read_at=0)
        self.cache = CachingVerifier(self.verifier(), max_tokens=MAX_TOKENS, now=self.clock)
        self.runner = asyncio.Runner()

    def verifier(self) -> IssuersVerifier:
        return IssuersVerifier(
            [
                JwtVerifier(issuer_of(FACTORIES[0], issuer=name, alias=alias), keys, now=self.clock)
                for name, (alias, keys) in zip(NAMES, self.keys.items(), strict=True)
            ]
        )

    def checked(self, cache: CachingVerifier) -> RevocationAuthenticator:
        async def refresh() -> None:
            """Nothing has to be read."""

        return RevocationAuthenticator(
            BearerAuthenticator(JwtTokens(cache)), self.state, refresh=refresh
        )

    @rule(token=st.sampled_from(TOKENS))
    def ask(self, token: str) -> None:
        fresh = CachingVerifier(self.verifier(), max_tokens=0, now=self.clock)
        presented = bearer(token)
        answer = self.runner.run(self.checked(self.cache).authenticate(presented))
        assert answer == self.runner.run(self.checked(fresh).authenticate(presented))

    @rule(seconds=st.sampled_from([-30, -10, -1, 1, 9, 10, 11, 20, 30]))
    def move_the_clock(self, seconds: int) -> None:
        self.clock.now += seconds

    @rule(alias=aliases, keys=key_sets)
    def change_keys(self, alias: str, keys: KeySet) -> None:
        self.keys[alias].keys = keys

    @rule(alias=aliases, keys=st.none() | key_sets)
    def publish_keys(self, alias: str, keys: KeySet | None) -> None:
        self.keys[alias].coming = keys

    @rule(
        alias=aliases,
        revocable=revocables,
        seconds=st.sampled_from([-30, 0, 30]),
        deleted=st.booleans(),
    )
    def revoke(
        self, *, alias: str, revocable: tuple[RevocationKind, str], seconds: int, deleted: bool
    ) -> None:
        kind, value = revocable
        record = revocation(
            kind,
            value,
            issuer_alias=alias,
            issued_before_us=(NOW + seconds) * 1_000_000,
            expires_at_us=(NOW + 20) * 1_000_000,
            deleted_at_us=1 if deleted else None,
        )
        self.state.apply(TrustChanges(number=self.state.number + 1, revocations=(record,)))

    @rule()
    def forget_expired(self) -> None:
        """While the clock is behind, this forgets what would count again: as a restart does."""
        self.state.forget_expired()

    @invariant()
    def it_stays_small(self) -> None:
        assert len(self.cache) <= MAX_TOKENS
        assert (self.cache.size_bytes > 0) is (len(self.cache) > 0)

    def teardown(self) -> None:
        self.runner.close()


TestAsking = Asking.TestCase
