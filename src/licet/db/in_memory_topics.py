"""The numbers of topics in this process, and who waits for them."""

from __future__ import annotations

import threading

from licet.db.schedule_records import SCHEDULE_TOPIC
from licet.db.trust_records import TRUST_TOPIC
from licet.db.watching import Waiters, no_such_topic, wait_for_change
from licet.db.work_records import WORK_TOPIC


class InMemoryTopics:
    """What ``licet_changes`` is to the SQL databases."""

    def __init__(self) -> None:
        self.waiters = Waiters()
        self._lock = threading.Lock()
        self._numbers = {SCHEDULE_TOPIC: 0, TRUST_TOPIC: 0, WORK_TOPIC: 0}

    def number(self, topic: str) -> int:
        """The number that a topic has reached.

        Raises:
            StorageError: there is no such topic.
        """
        with self._lock:
            if topic not in self._numbers:
                raise no_such_topic(topic)
            return self._numbers[topic]

    def raised(self, topic: str) -> int:
        """The topic's next number. Who waits for the topic is woken."""
        with self._lock:
            self._numbers[topic] += 1
            number = self._numbers[topic]
        self.waiters.wake(topic)
        return number

    async def watch(self, topic: str, *, after: int, timeout_seconds: float) -> int:
        """Wait until the number of a topic is above ``after``, or the time is over; answer it."""

        async def read() -> int:
            return self.number(topic)

        return await wait_for_change(
            self.waiters,
            topic,
            read,
            after=after,
            timeout_seconds=timeout_seconds,
            poll_seconds=None,
        )
