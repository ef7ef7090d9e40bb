"""Glossaries in a Redis that all nodes share; see `pipelines.glossaries.store.GlossaryStore`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pipelines.glossaries.record import GlossaryVersion
from pipelines.shared_redis import SharedRedis

_PREFIX = "nllb-glossary:"


class RedisGlossaryStore:
    """A `GlossaryStore` for any number of nodes: one hash for each glossary, one field for each version."""

    def __init__(self, redis: SharedRedis) -> None:
        """Use a Redis that all of them reach."""
        self._redis = redis
        self._client: Any = redis.client
        self._ids = f"{_PREFIX}ids"

    async def create(self, glossary: GlossaryVersion) -> GlossaryVersion | None:
        """See `GlossaryStore`."""
        return await self._write(glossary, first=True)

    async def add(self, glossary: GlossaryVersion) -> GlossaryVersion | None:
        """See `GlossaryStore`."""
        return await self._write(glossary, first=False)

    async def get(self, glossary_id: str, version: int | None = None) -> GlossaryVersion | None:
        """See `GlossaryStore`."""
        if version is None:
            version = max(await self.versions(glossary_id), default=0)
        form = await self._redis.ask(lambda: self._client.hget(self._key(glossary_id), str(version)))
        return None if form is None else GlossaryVersion.from_json(form)

    async def versions(self, glossary_id: str) -> list[int]:
        """See `GlossaryStore`."""
        return sorted(map(int, await self._redis.ask(lambda: self._client.hkeys(self._key(glossary_id)))))

    async def newest(self) -> list[GlossaryVersion]:
        """See `GlossaryStore`."""
        ids = sorted(each.decode() for each in await self._redis.ask(lambda: self._client.smembers(self._ids)))
        found = [await self.get(each) for each in ids]
        return [each for each in found if each is not None]

    async def delete(self, glossary_id: str) -> int:
        """See `GlossaryStore`."""
        pipe = self._client.pipeline(transaction=True)
        pipe.hlen(self._key(glossary_id))
        pipe.delete(self._key(glossary_id))
        pipe.srem(self._ids, glossary_id)
        return int((await self._redis.ask(pipe.execute))[0])

    async def _write(self, glossary: GlossaryVersion, *, first: bool) -> GlossaryVersion | None:
        key = self._key(glossary.id)

        async def work(pipe: Any) -> GlossaryVersion | None:
            versions = [int(each) for each in await pipe.hkeys(key)]
            if first != (not versions):
                return None
            numbered = replace(glossary, version=max(versions, default=0) + 1)
            pipe.multi()
            pipe.hset(key, str(numbered.version), numbered.to_json())
            pipe.sadd(self._ids, glossary.id)
            return numbered

        # Begins again when somebody else has written or removed the glossary since it was read.
        written: GlossaryVersion | None = await self._redis.ask(
            lambda: self._client.transaction(work, key, value_from_callable=True)
        )
        return written

    def _key(self, glossary_id: str) -> str:
        return f"{_PREFIX}entries:{glossary_id}"
