"""Counts requests per caller: how many in a sliding window, how many at the same time.

In this process, or in a Redis that all replicas share; while that Redis is ill each replica counts by itself, so limits
are looser by the number of replicas, and nobody is refused for its sake. Does not know who may have how much.
"""

from __future__ import annotations

import asyncio
import math
import time
import uuid
from collections import Counter
from contextlib import suppress
from typing import NamedTuple, Protocol

from limits import RateLimitItem
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from pipelines.errors import UnavailableError
from pipelines.shared_redis import SharedRedis

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
        redis: That replicas share; None counts in this process.
    """

    def __init__(self, redis: SharedRedis | None = None) -> None:
        self._alone = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._redis = redis
        if redis is not None:
            storage = RedisStorage(
                f"async+{redis.url}",
                implementation="redispy",
                key_prefix=_PREFIX,
                connection_pool=redis.client.connection_pool,  # type: ignore[arg-type]  # as its docstring says
            )
            self._shared = SlidingWindowCounterRateLimiter(storage)

    async def hit(self, rate: RateLimitItem, *identifiers: str) -> Window:
        """Count one request, unless that would be one too many."""
        if self._redis is not None:
            with suppress(UnavailableError):
                return await self._redis.ask(lambda: _hit(self._shared, rate, identifiers))
        return await _hit(self._alone, rate, identifiers)


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
        redis: That all of them reach.
    """

    _TAKE = """
    redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[1])
    if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
    redis.call('ZADD', KEYS[1], ARGV[3], ARGV[4])
    redis.call('EXPIREAT', KEYS[1], math.ceil(tonumber(ARGV[3])) + 1)
    return 1
    """

    def __init__(self, redis: SharedRedis) -> None:
        self._redis = redis
        self._client = redis.client
        self._alone = LocalSlots()

    async def take(self, name: str, num_slots: int, lease_s: float) -> str | None:
        """See `Slots`."""
        token, now = uuid.uuid4().hex, time.time()
        arguments = (f"{_PREFIX}:slots:{name}", now, num_slots, now + lease_s, token)
        try:
            taken = await self._redis.ask(lambda: self._client.eval(self._TAKE, 1, *map(str, arguments)))
        except UnavailableError:
            return await self._alone.take(name, num_slots, lease_s)
        return token if taken else None

    async def give_back(self, name: str, token: str) -> None:
        """See `Slots`. If Redis does not hear of it, the lease ends by itself."""
        if not token:
            await self._alone.give_back(name, token)
        else:
            await asyncio.shield(self._free(name, token))

    async def _free(self, name: str, token: str) -> None:
        with suppress(UnavailableError):
            await self._redis.ask(lambda: self._client.zrem(f"{_PREFIX}:slots:{name}", token))
