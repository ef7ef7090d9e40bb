"""Glossaries in a Redis that all nodes share; see `pipelines.glossaries.store.GlossaryStore`."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import replace
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.exceptions import RedisError

from pipelines.errors import UnavailableError
from pipelines.glossaries.record import GlossaryVersion

_T = TypeVar("_T")


class RedisGlossaryStore:
    """A `GlossaryStore` for any number of nodes: one hash for each glossary, one field for each version."""

    def __init__(self, client: Redis, *, key_prefix: str = "nllb-glossary:") -> None:
        """Use a client whose operations end by themselves.

        Args:
            client: Of the Redis.
            key_prefix: Start of every key.
        """
        self._client: Any = client
        self._prefix = key_prefix

    async def add(self, glossary: GlossaryVersion) -> GlossaryVersion:
        """See `GlossaryStore`."""
        while True:
            versions = await self.versions(glossary.id)
            numbered = replace(glossary, version=max(versions, default=0) + 1)
            # Whoever writes at the same time takes the next number.
            if await _answer(self._client.hsetnx(self._key(glossary.id), str(numbered.version), numbered.to_json())):
                await _answer(self._client.sadd(f"{self._prefix}ids", glossary.id))
                return numbered

    async def get(self, glossary_id: str, version: int | None = None) -> GlossaryVersion | None:
        """See `GlossaryStore`."""
        if version is None:
            version = max(await self.versions(glossary_id), default=0)
        form = await _answer(self._client.hget(self._key(glossary_id), str(version)))
        return None if form is None else GlossaryVersion.from_json(form)

    async def versions(self, glossary_id: str) -> list[int]:
        """See `GlossaryStore`."""
        return sorted(map(int, await _answer(self._client.hkeys(self._key(glossary_id)))))

    async def newest(self) -> list[GlossaryVersion]:
        """See `GlossaryStore`."""
        ids = sorted(each.decode() for each in await _answer(self._client.smembers(f"{self._prefix}ids")))
        found = [await self.get(each) for each in ids]
        return [each for each in found if each is not None]

    async def delete(self, glossary_id: str) -> int:
        """See `GlossaryStore`."""
        num_versions = len(await self.versions(glossary_id))
        await _answer(self._client.delete(self._key(glossary_id)))
        await _answer(self._client.srem(f"{self._prefix}ids", glossary_id))
        return num_versions

    def _key(self, glossary_id: str) -> str:
        return f"{self._prefix}entries:{glossary_id}"


async def _answer(operation: Awaitable[_T]) -> _T:
    try:
        return await operation
    except (RedisError, OSError, TimeoutError) as error:
        raise UnavailableError("the store of the glossaries cannot be reached", retry_after_s=1.0) from error
