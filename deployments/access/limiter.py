"""Counts requests per caller: how many in a sliding window, how many at the same time.

In this process, or in a Redis that all replicas share; while that Redis is ill each replica counts by itself, so limits
are looser by the number of replicas, and nobody is refused for its sake. Does not know who may have how much.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, Protocol

from limits import RateLimitItem
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis.asyncio import Redis
from redis.exceptions import RedisError

from deployments.access.redis_store import access_redis
from pipelines.breaker import CircuitBreaker

_LOGGER = logging.getLogger(__name__)
_PREFIX = "nllb-access"


class Window(NamedTuple):
    """What a rate limit says of one request."""

    allowed: bool
    limit: int
    remaining: int
    window_s: int
    reset_s: int
    """Seconds until one more request is allowed."""


class RateLimiter:
    """Sliding-window counters.

    Args:
        redis_url: Of the Redis that replicas share; None counts in this process.
        timeout_s: Longest wait for Redis.
        breaker: Decides when Redis is left alone.
    """

    def __init__(self, redis_url: str | None = None, timeout_s: float = 0.25, breaker: CircuitBreaker | None = None):
        self.breaker = breaker or CircuitBreaker()
        self._alone = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._shared = None
        self._client: Redis | None = None
        if redis_url is not None:
            self._client = access_redis(redis_url, timeout_s)
            storage = RedisStorage(
                f"async+{redis_url}",
                implementation="redispy",
                key_prefix=_PREFIX,
                connection_pool=self._client.connection_pool,  # type: ignore[arg-type]  # as its docstring says
            )
            self._shared = SlidingWindowCounterRateLimiter(storage)

    async def hit(self, rate: RateLimitItem, *identifiers: str) -> Window:
        """Count one request, unless that would be one too many."""
        if self._shared is not None and self.breaker.admit():
            try:
                with self.breaker.watching((RedisError, OSError)):
                    return await _hit(self._shared, rate, identifiers)
            except (RedisError, OSError) as error:
                _LOGGER.warning("the Redis of the rate limits does not answer (%s)", type(error).__name__)
        return await _hit(self._alone, rate, identifiers)

    async def close(self) -> None:
        """Close the connections to Redis."""
        if self._client is not None:
            await self._client.aclose()


async def _hit(limiter: SlidingWindowCounterRateLimiter, rate: RateLimitItem, identifiers: tuple[str, ...]) -> Window:
    allowed = await limiter.hit(rate, *identifiers)
    stats = await limiter.get_window_stats(rate, *identifiers)
    reset_s = max(0, math.ceil(stats.reset_time - time.time()))
    return Window(allowed, rate.amount, stats.remaining, rate.get_expiry(), reset_s if allowed else max(1, reset_s))


class Slots(Protocol):
    """Counts what a caller has under way."""

    async def take(self, name: str, num_slots: int, lease_s: float) -> str | None:
        """Return a token for one of the slots, or None if all are taken.

        A slot that is not given back in `lease_s` is free again: its holder died.
        """
        ...

    async def give_back(self, name: str, token: str) -> None:
        """Free a slot."""
        ...


class LocalSlots:
    """Slots of this process."""

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()

    async def take(self, name: str, num_slots: int, lease_s: float) -> str | None:
        """See `Slots`."""
        if self._taken[name] >= num_slots:
            return None
        self._taken[name] += 1
        return ""

    async def give_back(self, name: str, token: str) -> None:
        """See `Slots`."""
        self._taken[name] -= 1
        if self._taken[name] <= 0:
            del self._taken[name]


class RedisSlots:
    """Slots that all replicas share; while Redis is ill, those of this process.

    Args:
        client: Whose operations end within a time-out.
        breaker: Decides when Redis is left alone.
    """

    _TAKE = """
    redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[1])
    if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
    redis.call('ZADD', KEYS[1], ARGV[3], ARGV[4])
    redis.call('EXPIREAT', KEYS[1], math.ceil(tonumber(ARGV[3])) + 1)
    return 1
    """

    def __init__(self, client: Redis, breaker: CircuitBreaker | None = None) -> None:
        self.breaker = breaker or CircuitBreaker()
        self._client = client
        self._alone = LocalSlots()

    async def take(self, name: str, num_slots: int, lease_s: float) -> str | None:
        """See `Slots`."""
        token, now = uuid.uuid4().hex, time.time()
        arguments = (f"{_PREFIX}:slots:{name}", now, num_slots, now + lease_s, token)
        taken = await self._try(lambda: self._client.eval(self._TAKE, 1, *map(str, arguments)))
        if taken is None:
            return await self._alone.take(name, num_slots, lease_s)
        return token if taken else None

    async def give_back(self, name: str, token: str) -> None:
        """See `Slots`. If Redis does not hear of it, the lease ends by itself."""
        if not token:
            await self._alone.give_back(name, token)
        else:
            await asyncio.shield(self._try(lambda: self._client.zrem(f"{_PREFIX}:slots:{name}", token)))

    async def _try(self, command: Callable[[], Awaitable[Any]]) -> Any | None:
        if not self.breaker.admit():
            return None
        try:
            with self.breaker.watching((RedisError, OSError)):
                return await command()
        except (RedisError, OSError) as error:
            _LOGGER.warning("the Redis of the access limits does not answer (%s)", type(error).__name__)
            return None
