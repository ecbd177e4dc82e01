from __future__ import annotations

from licet.authn.key_set import KeySet
from licet.authn.key_source import MergedKeys, StaticKeys
from tests.authn.test_key_set import PEM, A, B


class Changing:
    """A source that a test changes."""

    def __init__(self, keys: KeySet) -> None:
        self.keys = keys
        self.next: KeySet | None = None
        self.did: list[str] = []

    def current(self) -> KeySet:
        return self.keys

    async def refetch(self) -> bool:
        self.did.append("refetch")
        changed, self.next = self.next is not None, None
        return changed

    async def start(self) -> None:
        self.did.append("start")

    async def close(self) -> None:
        self.did.append("close")


async def test_static_keys_never_change() -> None:
    keys = KeySet((A,))
    source = StaticKeys(keys)
    await source.start()
    assert source.current() is keys
    assert await source.refetch() is False
    await source.close()


async def test_merged_keys_are_the_same_object_until_a_part_changes() -> None:
    first, second = Changing(KeySet((A,))), Changing(KeySet((PEM,)))
    source = MergedKeys([first, second])
    before = source.current()
    assert before.keys == (A, PEM)
    assert source.current() is before
    second.keys = KeySet((PEM, B))
    assert source.current().keys == (A, PEM, B)


async def test_every_part_is_started_asked_and_closed() -> None:
    first, second = Changing(KeySet()), Changing(KeySet())
    source = MergedKeys([first, second])
    await source.start()
    assert await source.refetch() is False
    second.next = KeySet()
    assert await source.refetch() is True
    await source.close()
    assert first.did == second.did == ["start", "refetch", "refetch", "close"]
