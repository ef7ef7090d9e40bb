"""Keys and usage in a Redis that all nodes share; see `deployments.access.store.KeyStore`."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from deployments.access.keys import KeyRecord
from deployments.access.store import Usage
from pipelines.errors import UnavailableError

_T = TypeVar("_T")
_PREFIX = "nllb-access:"
_USAGE_LIFETIME_S = 400 * 86_400  # a year's months can be billed


def access_redis(url: str, timeout_s: float) -> Redis:
    """Return a client whose every operation ends within the time-out; nothing is sent yet."""
    return Redis.from_url(url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, driver_info=None)


class RedisKeyStore:
    """A `KeyStore` for any number of nodes."""

    def __init__(self, client: Redis) -> None:
        """Use a client of `access_redis`."""
        self._client = client

    async def get(self, key_id: str) -> KeyRecord | None:
        """See `KeyStore`."""
        record = await _answer(cast(Awaitable[bytes | None], self._client.hget(f"{_PREFIX}keys", key_id)))
        return None if record is None else KeyRecord.model_validate_json(record)

    async def put(self, record: KeyRecord) -> None:
        """See `KeyStore`."""
        await _answer(self._client.hset(f"{_PREFIX}keys", record.id, record.model_dump_json()))

    async def all(self) -> list[KeyRecord]:
        """See `KeyStore`."""
        records = await _answer(cast(Awaitable[list[bytes]], self._client.hvals(f"{_PREFIX}keys")))
        return sorted(map(KeyRecord.model_validate_json, records), key=lambda record: record.created)

    async def add_usage(self, key_id: str, month: str, usage: Usage) -> Usage:
        """See `KeyStore`."""
        name = _usage_name(key_id, month)
        pipeline = self._client.pipeline()
        pipeline.hincrby(name, "characters", usage.num_characters)
        pipeline.hincrby(name, "requests", usage.num_requests)
        pipeline.expire(name, _USAGE_LIFETIME_S)
        num_characters, num_requests, _ = await _answer(pipeline.execute())
        return Usage(num_characters, num_requests)

    async def usage(self, key_id: str, month: str) -> Usage:
        """See `KeyStore`."""
        name = _usage_name(key_id, month)
        counts = await _answer(
            cast(Awaitable[list[bytes | None]], self._client.hmget(name, ["characters", "requests"]))
        )
        return Usage(*(int(count or 0) for count in counts))


def _usage_name(key_id: str, month: str) -> str:
    return f"{_PREFIX}usage:{key_id}:{month}"


async def _answer(operation: Awaitable[_T]) -> _T:
    try:
        return await operation
    except (RedisError, OSError) as error:
        raise UnavailableError("the store of the keys cannot be reached", retry_after_s=1.0) from error
