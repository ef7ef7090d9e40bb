"""A clock, a store and a station that a test steers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from pipelines.cache.store import CacheStats
from pipelines.types import Outcome, Segment, Translation
from tests.unit.pipelines.cache.asking import REVISION


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now_s


class FakeStore:
    """A dictionary; writes wait while `writable` is cleared."""

    def __init__(self) -> None:
        self.entries: dict[str, bytes] = {}
        self.writable = asyncio.Event()
        self.writable.set()

    async def get_many(self, keys: list[str]) -> list[bytes | None]:
        """One answer per key."""
        return [self.entries.get(key) for key in keys]

    async def put_many(self, entries: dict[str, bytes]) -> None:
        """Keep them when writable."""
        await self.writable.wait()
        self.entries.update(entries)

    async def clear(self) -> int:
        """Forget all."""
        num_entries = len(self.entries)
        self.entries.clear()
        return num_entries

    async def stats(self) -> CacheStats:
        """Count entries, and one error."""
        return CacheStats("memory", True, len(self.entries), None, None, None, evictions=0, errors=1)

    async def close(self) -> None:
        """Nothing to close."""


class Stages:
    """A `CacheObserver` that notes what it is told, without durations."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int, int] | tuple[str, int]] = []

    def looked_up(self, num_hits: int, num_misses: int, duration_s: float) -> None:
        """See `CacheObserver`."""
        assert duration_s >= 0
        self.seen.append(("looked up", num_hits, num_misses))

    def kept(self, num_entries: int, duration_s: float) -> None:
        """See `CacheObserver`."""
        assert duration_s >= 0
        self.seen.append(("kept", num_entries))


class FakeStation:
    """Records each call and answers it when released; translates to upper case unless told otherwise."""

    def __init__(
        self,
        answer: Callable[[Segment], Outcome] = lambda s: Translation(text=s.text.upper()),
        model_revision: str = REVISION,
    ) -> None:
        self.answer = answer
        self.model_revision = model_revision
        self.calls: list[list[Segment]] = []
        self.num_cancelled = 0
        self.released = asyncio.Event()
        self.released.set()

    async def translate(self, segments: list[Segment]) -> list[Outcome]:
        """See `SegmentTranslator`."""
        self.calls.append(segments)
        try:
            await self.released.wait()
        except asyncio.CancelledError:
            self.num_cancelled += 1
            raise
        outcomes = [self.answer(segment) for segment in segments]
        return [
            replace(outcome, model_revision=self.model_revision) if isinstance(outcome, Translation) else outcome
            for outcome in outcomes
        ]
