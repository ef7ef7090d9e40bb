"""Entries in this process's memory: the least recently used leaves first, and each leaves when it is too old.

Each replica has its own. Knows no segments and no other replicas.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from cachetools import TTLCache

from pipelines.cache.store import CacheStats

ENTRY_OVERHEAD_BYTES = 384
"""What an entry takes besides its bytes, the key included: 341 bytes by tracemalloc (CPython 3.11, cachetools 8.0,
20 000 entries), rounded up."""


class MemoryStore:
    """A `CacheStore` bounded in entries, in bytes and in age."""

    def __init__(
        self,
        max_entries: int,
        max_bytes: int,
        ttl_s: float | None = None,
        *,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make an empty store.

        Args:
            max_entries: The most entries.
            max_bytes: The most memory, the surroundings of an entry included.
            ttl_s: Age at which an entry is forgotten; None keeps it until it is pushed out.
            clock_s: Any clock that never goes back.
        """
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._entries: TTLCache[str, bytes] = TTLCache(
            maxsize=max_bytes, ttl=math.inf if ttl_s is None else ttl_s, timer=clock_s, getsizeof=_entry_bytes
        )
        self._num_evictions = 0

    async def get_many(self, keys: list[str]) -> list[bytes | None]:
        """See `CacheStore`."""
        return [self._entries.get(key) for key in keys]

    async def put_many(self, entries: dict[str, bytes]) -> None:
        """See `CacheStore`. An entry larger than the whole store is not kept."""
        for key, entry in entries.items():
            self._entries.pop(key, None)
            if _entry_bytes(entry) > self._max_bytes:
                continue
            self._make_room(_entry_bytes(entry))
            self._entries[key] = entry

    async def clear(self) -> int:
        """See `CacheStore`."""
        num_entries = len(self._entries)
        self._entries.clear()
        return num_entries

    async def stats(self) -> CacheStats:
        """See `CacheStore`."""
        return CacheStats(
            type="memory",
            available=True,
            entries=len(self._entries),
            max_entries=self._max_entries,
            size_bytes=int(self._entries.currsize),
            max_bytes=self._max_bytes,
            evictions=self._num_evictions,
            errors=0,
        )

    async def close(self) -> None:
        """Nothing to let go of."""

    def _make_room(self, num_bytes: int) -> None:
        # Reading the length and the size drops what has expired, so only live entries are evicted.
        while len(self._entries) >= self._max_entries or self._entries.currsize + num_bytes > self._max_bytes:
            self._entries.popitem()
            self._num_evictions += 1


def _entry_bytes(entry: bytes) -> int:
    return ENTRY_OVERHEAD_BYTES + len(entry)
