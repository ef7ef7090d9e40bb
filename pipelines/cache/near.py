"""A near cache: what the shared cache has answered is answered again by this process, without the way there.

An entry comes here when the shared cache has found it, so what is asked for once takes no room. Keys are content-
addressed, so an entry is never wrong; it may be here for a while longer than in the shared cache.
"""

from __future__ import annotations

from dataclasses import replace

from pipelines.cache.codec import decode, encode
from pipelines.cache.key import segment_key
from pipelines.cache.store import CacheStats, CacheStore
from pipelines.protocols import SegmentTranslator
from pipelines.types import Outcome, Segment, Translation


class NearCache:
    """A `SegmentTranslator` in front of that of the shared cache. One event loop at a time.

    Args:
        store: Keeps the entries, in this process.
        station: The shared cache, which marks what it has found.
        model_revision: See `ReadThroughCache`; what the cache of another model has found is not kept.
    """

    def __init__(self, store: CacheStore, station: SegmentTranslator, model_revision: str) -> None:
        self._store = store
        self._station = station
        self._model_revision = model_revision
        self._num_hits = 0
        self._num_clears = 0

    async def translate(self, segments: list[Segment]) -> list[Outcome]:
        """See `SegmentTranslator`; what is not here goes on in one call."""
        keys = [segment_key(segment, self._model_revision) for segment in segments]
        outcomes: dict[int, Outcome] = {}
        for place, entry in enumerate(await self._store.get_many(keys)):
            translation = None if entry is None else decode(keys[place], entry, self._model_revision)
            if translation is not None:
                outcomes[place] = translation
        self._num_hits += len(outcomes)
        missing = [place for place in range(len(segments)) if place not in outcomes]
        if missing:
            passed_on = await self._pass_on([segments[place] for place in missing], [keys[place] for place in missing])
            outcomes.update(zip(missing, passed_on, strict=True))
        return [outcomes[place] for place in range(len(segments))]

    async def clear(self) -> int:
        """Remove every entry, and keep nothing of what is on its way; return how many entries there were."""
        self._num_clears += 1
        return await self._store.clear()

    async def stats(self) -> CacheStats:
        """Return the store's statistics and how many segments were answered from it."""
        return replace(await self._store.stats(), type="near", hits=self._num_hits)

    async def _pass_on(self, segments: list[Segment], keys: list[str]) -> list[Outcome]:
        num_clears = self._num_clears
        outcomes = await self._station.translate(segments)
        if num_clears == self._num_clears:
            await self._store.put_many(
                {
                    key: encode(key, outcome)
                    for key, outcome in zip(keys, outcomes, strict=True)
                    if isinstance(outcome, Translation) and self._is_own_hit(outcome)
                }
            )
        return outcomes

    def _is_own_hit(self, translation: Translation) -> bool:
        return translation.cached and translation.model_revision == self._model_revision
