"""What a cache keeps entries in. A store knows keys and bytes; it knows no segments and no translations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class CacheStats:
    """How a cache does. Counters run from the start of the process; None is what cannot be known.

    Attributes:
        type: Where entries are kept.
        available: Whether the store answers.
        entries: Entries kept now; of a Redis all keys of its database.
        max_entries: The most entries, or None for no bound.
        size_bytes: Memory in use; of a Redis that of the whole server.
        max_bytes: The most memory, or None for no bound.
        evictions: Entries pushed out by a bound, expired ones not counted; of a Redis those of the whole server.
        errors: Operations that failed, entries that could not be read, writes that were given up.
        hits: Segments answered from the store. This and the next two are counted by `ReadThroughCache`.
        misses: Segments passed on to the station behind.
        coalesced: Segments that joined an equal one on its way.
        near_hits: Segments answered by near caches, part of `hits`.
    """

    type: Literal["memory", "redis", "near"]
    available: bool
    entries: int | None
    max_entries: int | None
    size_bytes: int | None
    max_bytes: int | None
    evictions: int | None
    errors: int
    hits: int = 0
    misses: int = 0
    coalesced: int = 0
    near_hits: int = 0


def total(replicas: Sequence[CacheStats]) -> CacheStats:
    """Return the statistics of all replicas of a cache together, of which there is at least one.

    Memory adds up; a Redis is the same one for all of them.
    """
    first = replicas[0]
    whole = replace(
        first,
        available=all(each.available for each in replicas),
        errors=sum(each.errors for each in replicas),
        hits=sum(each.hits for each in replicas),
        misses=sum(each.misses for each in replicas),
        coalesced=sum(each.coalesced for each in replicas),
    )
    if first.type == "redis":
        return whole

    return replace(
        whole,
        entries=_sum(each.entries for each in replicas),
        max_entries=_sum(each.max_entries for each in replicas),
        size_bytes=_sum(each.size_bytes for each in replicas),
        max_bytes=_sum(each.max_bytes for each in replicas),
        evictions=_sum(each.evictions for each in replicas),
    )


def _sum(amounts: Iterable[int | None]) -> int | None:
    whole = 0
    for amount in amounts:
        if amount is None:
            return None
        whole += amount
    return whole


class CacheStore(Protocol):
    """Keeps entries for a while. One event loop at a time.

    An ill store is no reason to fail a request: reading from it finds nothing and writing to it keeps nothing.
    """

    async def get_many(self, keys: list[str]) -> list[bytes | None]:
        """Return one entry per key, in order; None for what is not there. Never raises."""
        ...

    async def put_many(self, entries: dict[str, bytes]) -> None:
        """Keep the entries as long as the store's bounds allow. Never raises."""
        ...

    async def clear(self) -> int:
        """Remove every entry of this cache and return how many there were.

        Raises:
            UnavailableError: The store cannot be reached; some entries may be gone.
        """
        ...

    async def stats(self) -> CacheStats:
        """Return the store's part of the statistics. Never raises."""
        ...

    async def close(self) -> None:
        """Let go of connections; the next operation opens them again."""
        ...
