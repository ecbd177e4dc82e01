"""KeyFetching: how often keys are asked for, how long they are good, how much is read."""

from __future__ import annotations

from dataclasses import dataclass, fields

from licet.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class KeyFetching:
    """How the keys of an issuer are fetched. All times are seconds.

    Args:
        min_fresh_seconds: keys are not asked for again before that, whatever the answer's headers
            say.
        max_fresh_seconds: keys are asked for again after that at the latest; a key that was removed
            from the set is refused no later.
        default_fresh_seconds: how long keys are fresh if the answer's headers do not say.
        unknown_key_seconds: tokens that name an unknown key cause at most one question in this
            time, however many they are.
        max_stale_seconds: how long the last good keys stay in use while the provider cannot be
            reached.
        timeout_seconds: for one question, all of it.
    """

    min_fresh_seconds: float = 30.0
    max_fresh_seconds: float = 3600.0
    default_fresh_seconds: float = 300.0
    unknown_key_seconds: float = 10.0
    max_stale_seconds: float = 86_400.0
    timeout_seconds: float = 10.0

    def __post_init__(self) -> None:
        for setting in fields(self):
            # Written so that NaN, which is on neither side, is refused too.
            if not getattr(self, setting.name) > 0:
                raise ConfigurationError(f"key_fetching: {setting.name} is above 0")
        if self.min_fresh_seconds > self.max_fresh_seconds:
            raise ConfigurationError("key_fetching: min_fresh_seconds is above max_fresh_seconds")
