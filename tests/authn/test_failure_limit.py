from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licet.authn.failure_limit import FailureLimit
from tests.authn.parts import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock(1000)


@pytest.fixture
def limit(clock: Clock) -> FailureLimit:
    return FailureLimit(max_failures=3, window_seconds=60, max_clients=4, monotonic=clock)


def fail(limit: FailureLimit, client: str | None, times: int = 3) -> None:
    for _ in range(times):
        assert not limit.is_reached(client)
        limit.failed(client)


def test_whoever_fails_too_often_has_reached_it(limit: FailureLimit) -> None:
    fail(limit, "192.0.2.1")
    assert limit.is_reached("192.0.2.1")
    assert not limit.is_reached("192.0.2.2")


def test_the_window_begins_with_the_first_failure(limit: FailureLimit, clock: Clock) -> None:
    fail(limit, "192.0.2.1", 1)
    clock.now += 59
    fail(limit, "192.0.2.1", 2)
    assert limit.is_reached("192.0.2.1")
    clock.now += 0.999
    assert limit.is_reached("192.0.2.1")
    clock.now += 0.001
    assert not limit.is_reached("192.0.2.1")
    fail(limit, "192.0.2.1")
    assert limit.is_reached("192.0.2.1")


def test_failures_of_a_window_that_is_over_do_not_count(limit: FailureLimit, clock: Clock) -> None:
    fail(limit, "192.0.2.1", 2)
    clock.now += 60
    fail(limit, "192.0.2.1", 2)
    assert not limit.is_reached("192.0.2.1")


def test_what_has_not_failed_does_not_count(limit: FailureLimit) -> None:
    attempts = [limit.failed("192.0.2.1") for _ in range(3)]
    assert limit.is_reached("192.0.2.1")
    attempts[0].was_none()
    assert not limit.is_reached("192.0.2.1")
    fail(limit, "192.0.2.1", 1)
    assert limit.is_reached("192.0.2.1")


def test_what_ends_in_a_later_window_counts_nothing_there(
    limit: FailureLimit, clock: Clock
) -> None:
    attempt = limit.failed("192.0.2.1")
    clock.now += 60
    fail(limit, "192.0.2.1")
    attempt.was_none()
    assert limit.is_reached("192.0.2.1")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("2001:db8::1", "2001:db8::2", True),
        ("2001:db8::1", "2001:db8:0:0:ffff:ffff:ffff:ffff", True),
        ("2001:DB8::1", "2001:db8:0:0::9", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("192.0.2.1", "192.0.2.1:443", False),
        ("", None, True),
        ("not an address", "not an address", True),
        ("not an address", "another", False),
    ],
)
def test_a_client_is_an_address_or_the_network_in_which_it_may_choose_one(
    limit: FailureLimit, one: str | None, other: str | None, *, same: bool
) -> None:
    fail(limit, one)
    assert limit.is_reached(one)
    assert limit.is_reached(other) is same


def test_who_has_not_failed_for_longest_is_forgotten_first(limit: FailureLimit) -> None:
    for number in range(4):
        fail(limit, f"192.0.2.{number}")
    limit.failed("192.0.2.0")
    limit.failed("192.0.2.9")
    assert len(limit) == 4
    assert limit.is_reached("192.0.2.0")
    assert not limit.is_reached("192.0.2.1")
    assert limit.is_reached("192.0.2.2")


@given(st.lists(st.text() | st.ip_addresses().map(str) | st.none(), max_size=30))
def test_whatever_clients_are_called_there_is_room_for_so_many(clients: list[str | None]) -> None:
    limit = FailureLimit(max_failures=1, max_clients=5, monotonic=Clock())
    for client in clients:
        limit.failed(client)
        assert limit.is_reached(client)
        assert len(limit) <= 5
