"""Keys and usage in a Redis that all nodes share; see `deployments.access.store.KeyStore`."""

from __future__ import annotations

from typing import Any

from deployments.access.keys import KeyRecord
from deployments.access.shared_redis import SharedRedis
from deployments.access.store import Usage

_PREFIX = "nllb-access:"
_USAGE_LIFETIME_S = 400 * 86_400  # a year's months can be billed


class RedisKeyStore:
    """A `KeyStore` for any number of nodes.

    Args:
        redis: That all of them reach.
    """

    def __init__(self, redis: SharedRedis) -> None:
        self._redis = redis
        self._client: Any = redis.client

    async def get(self, key_id: str) -> KeyRecord | None:
        """See `KeyStore`."""
        record: bytes | None = await self._redis.ask(lambda: self._client.hget(f"{_PREFIX}keys", key_id))
        return None if record is None else KeyRecord.model_validate_json(record)

    async def put(self, record: KeyRecord) -> None:
        """See `KeyStore`."""
        await self._redis.ask(lambda: self._client.hset(f"{_PREFIX}keys", record.id, record.model_dump_json()))

    async def all(self) -> list[KeyRecord]:
        """See `KeyStore`."""
        records: list[bytes] = await self._redis.ask(lambda: self._client.hvals(f"{_PREFIX}keys"))
        return sorted(map(KeyRecord.model_validate_json, records), key=lambda record: record.created)

    async def add_usage(self, key_id: str, month: str, usage: Usage) -> Usage:
        """See `KeyStore`."""
        name = _usage_name(key_id, month)
        pipeline = self._client.pipeline()
        pipeline.hincrby(name, "characters", usage.num_characters)
        pipeline.hincrby(name, "requests", usage.num_requests)
        pipeline.expire(name, _USAGE_LIFETIME_S)
        num_characters, num_requests, _ = await self._redis.ask(pipeline.execute)
        return Usage(num_characters, num_requests)

    async def usage(self, key_id: str, month: str) -> Usage:
        """See `KeyStore`."""
        name = _usage_name(key_id, month)
        counts = await self._redis.ask(lambda: self._client.hmget(name, ["characters", "requests"]))
        return Usage(*(int(count or 0) for count in counts))


def _usage_name(key_id: str, month: str) -> str:
    return f"{_PREFIX}usage:{key_id}:{month}"
