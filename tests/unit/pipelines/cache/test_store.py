"""Statistics of several replicas of one cache."""

from __future__ import annotations

from pipelines.cache.store import CacheStats, total

MEMORY = CacheStats("memory", True, 3, 10, 300, 1000, 1, errors=1, hits=5, misses=7, coalesced=2)
REDIS = CacheStats("redis", True, 3, None, 300, None, 1, errors=1, hits=5, misses=7, coalesced=2)


def test_replicas_in_memory_add_up() -> None:
    """Each replica has entries and bounds of its own."""
    assert total([MEMORY, MEMORY]) == CacheStats(
        "memory", True, 6, 20, 600, 2000, 2, errors=2, hits=10, misses=14, coalesced=4
    )


def test_replicas_over_one_redis_share_its_entries() -> None:
    """Only what each replica counts for itself adds up."""
    assert total([REDIS, REDIS]) == CacheStats(
        "redis", True, 3, None, 300, None, 1, errors=2, hits=10, misses=14, coalesced=4
    )


def test_one_ill_replica_shows() -> None:
    """Available means all of them."""
    ill = CacheStats("redis", False, None, None, None, None, None, errors=9)
    assert not total([REDIS, ill]).available
