"""The store in memory: bounded in entries, bytes and age."""

from pipelines.cache.memory import ENTRY_OVERHEAD_BYTES, MemoryStore
from tests.unit.pipelines.cache.fakes import Clock

ROOMY_BYTES = 1_000_000


async def test_entries_come_back_in_the_order_of_the_keys() -> None:
    """One answer per key, None for what is not there."""
    store = MemoryStore(10, ROOMY_BYTES)
    await store.put_many({"a": b"1", "b": b"2"})
    assert await store.get_many(["b", "x", "a", "b"]) == [b"2", None, b"1", b"2"]


async def test_the_least_recently_used_leaves_first() -> None:
    """Beyond the number of entries, the one that was longest not read leaves, and is counted."""
    store = MemoryStore(2, ROOMY_BYTES)
    await store.put_many({"a": b"1", "b": b"2"})
    await store.get_many(["a"])
    await store.put_many({"c": b"3"})
    assert await store.get_many(["a", "b", "c"]) == [b"1", None, b"3"]
    stats = await store.stats()
    assert (stats.entries, stats.max_entries, stats.evictions) == (2, 2, 1)


async def test_bytes_are_bounded() -> None:
    """As many entries leave as the new one needs bytes, its surroundings included."""
    store = MemoryStore(100, 3 * (ENTRY_OVERHEAD_BYTES + 100))
    await store.put_many({name: b"x" * 100 for name in "abc"})
    await store.put_many({"d": b"x" * 150})
    assert await store.get_many(list("abcd")) == [None, None, b"x" * 100, b"x" * 150]
    stats = await store.stats()
    assert stats.size_bytes == 2 * ENTRY_OVERHEAD_BYTES + 250
    assert (stats.max_bytes, stats.evictions) == (3 * (ENTRY_OVERHEAD_BYTES + 100), 2)


async def test_an_entry_larger_than_the_store_is_not_kept() -> None:
    """It pushes nothing out, and its older form is not left behind."""
    store = MemoryStore(10, 3 * ENTRY_OVERHEAD_BYTES)
    await store.put_many({"a": b"1", "b": b"2"})
    await store.put_many({"b": b"x" * 3 * ENTRY_OVERHEAD_BYTES})
    assert await store.get_many(["a", "b"]) == [b"1", None]


async def test_a_second_write_replaces_the_first() -> None:
    """An entry is counted once, and replacing it evicts nothing."""
    store = MemoryStore(2, ROOMY_BYTES)
    await store.put_many({"a": b"1", "b": b"2"})
    await store.put_many({"a": b"11"})
    assert await store.get_many(["a", "b"]) == [b"11", b"2"]
    stats = await store.stats()
    assert (stats.entries, stats.evictions) == (2, 0)


async def test_an_entry_is_forgotten_at_its_age() -> None:
    """Age runs from the write, reading does not prolong it, and expiry is no eviction."""
    clock = Clock()
    store = MemoryStore(2, ROOMY_BYTES, ttl_s=10, clock_s=clock)
    await store.put_many({"a": b"1"})
    clock.now_s = 9.9
    await store.put_many({"b": b"2"})
    assert await store.get_many(["a"]) == [b"1"]
    clock.now_s = 10.0
    assert await store.get_many(["a", "b"]) == [None, b"2"]
    await store.put_many({"c": b"3"})
    stats = await store.stats()
    assert (stats.entries, stats.evictions) == (2, 0)


async def test_without_an_age_nothing_expires() -> None:
    """None as age keeps entries until they are pushed out."""
    clock = Clock()
    store = MemoryStore(2, ROOMY_BYTES, clock_s=clock)
    await store.put_many({"a": b"1"})
    clock.now_s = 1e12
    assert await store.get_many(["a"]) == [b"1"]


async def test_clear_removes_all_and_says_how_many() -> None:
    """After it the store is empty, and usable."""
    store = MemoryStore(10, ROOMY_BYTES)
    await store.put_many({"a": b"1", "b": b"2"})
    assert await store.clear() == 2
    assert await store.get_many(["a"]) == [None]
    await store.put_many({"a": b"3"})
    stats = await store.stats()
    assert (stats.entries, stats.size_bytes) == (1, ENTRY_OVERHEAD_BYTES + 1)
