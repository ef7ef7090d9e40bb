"""Keys and usage in a Redis that all nodes share; see `deployments.access.store.KeyStore`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import RedisError, ResponseError

from deployments.access.keys import KeyRecord
from deployments.access.store import Usage
from pipelines.breaker import CircuitBreaker
from pipelines.errors import UnavailableError

_T = TypeVar("_T")
_PREFIX = "nllb-access:"
_USAGE_LIFETIME_S = 400 * 86_400  # a year's months can be billed
_FIRST_PAUSE_S = 0.005


def access_redis(url: str, timeout_s: float) -> Redis:
    """Return a client that tries each operation twice, each time no longer than the time-out; nothing is sent yet."""
    return Redis.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        # A connection that Redis closed meanwhile is found out by using it. The library's own default would go on
        # for many seconds while requests wait.
        retry=Retry(ExponentialWithJitterBackoff(base=_FIRST_PAUSE_S, cap=timeout_s / 2), 1),
        driver_info=None,
    )


class RedisKeyStore:
    """A `KeyStore` for any number of nodes.

    Args:
        client: Of `access_redis`.
        breaker: Decides when Redis is left alone; then every operation fails at once.
    """

    def __init__(self, client: Redis, breaker: CircuitBreaker | None = None) -> None:
        self._client: Any = client
        self._breaker = breaker or CircuitBreaker()

    async def get(self, key_id: str) -> KeyRecord | None:
        """See `KeyStore`."""
        record: bytes | None = await self._ask(lambda: self._client.hget(f"{_PREFIX}keys", key_id))
        return None if record is None else KeyRecord.model_validate_json(record)

    async def put(self, record: KeyRecord) -> None:
        """See `KeyStore`."""
        await self._ask(lambda: self._client.hset(f"{_PREFIX}keys", record.id, record.model_dump_json()))

    async def all(self) -> list[KeyRecord]:
        """See `KeyStore`."""
        records: list[bytes] = await self._ask(lambda: self._client.hvals(f"{_PREFIX}keys"))
        return sorted(map(KeyRecord.model_validate_json, records), key=lambda record: record.created)

    async def add_usage(self, key_id: str, month: str, usage: Usage) -> Usage:
        """See `KeyStore`."""
        name = _usage_name(key_id, month)
        pipeline = self._client.pipeline()
        pipeline.hincrby(name, "characters", usage.num_characters)
        pipeline.hincrby(name, "requests", usage.num_requests)
        pipeline.expire(name, _USAGE_LIFETIME_S)
        num_characters, num_requests, _ = await self._ask(pipeline.execute)
        return Usage(num_characters, num_requests)

    async def usage(self, key_id: str, month: str) -> Usage:
        """See `KeyStore`."""
        name = _usage_name(key_id, month)
        counts = await self._ask(lambda: self._client.hmget(name, ["characters", "requests"]))
        return Usage(*(int(count or 0) for count in counts))

    async def _ask(self, operation: Callable[[], Awaitable[_T]]) -> _T:
        if not self._breaker.admit():
            raise UnavailableError("the store of the keys cannot be reached", retry_after_s=1.0)
        try:
            # A refusal, as of a full Redis, is an answer: it still reads.
            with self._breaker.watching((RedisError, OSError), answers=ResponseError):
                return await operation()
        except (RedisError, OSError) as error:
            raise UnavailableError("the store of the keys cannot be reached", retry_after_s=1.0) from error


def _usage_name(key_id: str, month: str) -> str:
    return f"{_PREFIX}usage:{key_id}:{month}"
