from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from licet.audit import (
    AnchorFile,
    AnchorLog,
    AuditConfig,
    AuditMode,
    AuditSink,
    FileSink,
    Keep,
    LogSink,
)
from licet.errors import ConfigurationError
from licet.testing import TokenFactory

KEY = TokenFactory("EdDSA")


def test_by_default_all_is_kept_batched_in_the_database_and_anchored_in_the_log() -> None:
    config = AuditConfig()
    assert (config.keep, config.mode, config.database) == (Keep.ALL, AuditMode.BATCHED, True)
    assert config.sinks == ()
    assert [type(anchors) for anchors in config.anchors] == [AnchorLog]


@pytest.mark.parametrize("keep", ["all", "mutations", "denials"])
@pytest.mark.parametrize("mode", ["batched", "blocking"])
def test_words_may_be_given_as_text(keep: str, mode: str) -> None:
    config = AuditConfig(keep=keep, mode=mode)
    assert isinstance(config.keep, Keep)
    assert isinstance(config.mode, AuditMode)
    assert (config.keep.value, config.mode.value) == (keep, mode)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"keep": "none"}, "keep is one of 'all', 'mutations', 'denials', not 'none'"),
        ({"keep": None}, "keep is one of"),
        ({"keep": "ALL"}, "keep is one of"),
        ({"mode": "async"}, "mode is one of 'batched', 'blocking', not 'async'"),
        ({"sinks": ["audit.jsonl"]}, "str is no audit sink"),
        ({"sinks": [LogSink(), AnchorLog()]}, "AnchorLog is no audit sink"),
        ({"anchors": ["anchors.jsonl"]}, "str keeps no anchors"),
        ({"anchors": [LogSink()]}, "LogSink keeps no anchors"),
        ({"anchor_seconds": 0}, "anchor_seconds is above 0"),
        ({"batch_seconds": 0}, "batch_seconds is above 0"),
        ({"batch_seconds": -1}, "batch_seconds is above 0"),
        ({"timeout_seconds": float("nan")}, "timeout_seconds is above 0"),
        ({"max_waiting": 0}, "max_waiting is above 0"),
        ({"key": "short"}, "the audit key has 5 bytes"),
        ({"key": ""}, "the audit key has 0 bytes"),
        ({"key": KEY.public_key}, "signing needs the private one"),
    ],
)
def test_what_cannot_be_meant_is_refused(given: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        AuditConfig(**given)


def test_sinks_that_come_one_by_one_are_kept() -> None:
    def made() -> Iterator[AuditSink]:
        yield LogSink()
        yield FileSink("x")

    anchors = AnchorFile("x")
    config = AuditConfig(sinks=made(), anchors=[anchors])  # type: ignore[arg-type]
    assert [type(sink) for sink in config.sinks] == [LogSink, FileSink]
    assert config.anchors == (anchors,)


@pytest.mark.parametrize("key", [KEY.private_key, "s" * 40])
def test_the_key_is_not_shown(key: str) -> None:
    config = AuditConfig(key=key)
    assert config.key == key
    assert "key" not in repr(config)
    assert key.split("\n")[-2 if "\n" in key else 0] not in repr(config)
