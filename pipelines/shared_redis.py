"""A Redis that all replicas share, asked in one way and given up in one way. Knows nothing of what is in it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import RedisError, ResponseError

from pipelines.breaker import CircuitBreaker
from pipelines.errors import UnavailableError

_LOGGER = logging.getLogger(__name__)
_T = TypeVar("_T")
_FIRST_PAUSE_S = 0.005


def redis_client(url: str, timeout_s: float) -> Redis:
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


class SharedRedis:
    """One Redis, and one state of it: whoever finds that it does not answer spares the others the wait.

    Args:
        url: Of the Redis.
        timeout_s: Longest wait for it, twice per operation.
        content: What it keeps, for messages.
        breaker: Decides when Redis is left alone; then every operation fails at once.
    """

    def __init__(self, url: str, timeout_s: float, *, content: str, breaker: CircuitBreaker | None = None) -> None:
        self.url = url
        self.client = redis_client(url, timeout_s)
        self.breaker = breaker or CircuitBreaker()
        self._content = content
        self._refusals_seen: set[str] = set()

    async def ask(self, operation: Callable[[], Awaitable[_T]]) -> _T:
        """Return what an operation on the client returns.

        A refusal fails the operation and is an answer all the same: a full Redis (OOM) still reads, so it is not left
        alone.

        Raises:
            UnavailableError: Redis is left alone, does not answer, or refuses.
        """
        if not self.breaker.admit():
            raise self._unavailable()
        try:
            with self.breaker.watching((RedisError, OSError), answers=ResponseError):
                return await operation()
        except (RedisError, OSError) as error:
            self._note(error)
            raise self._unavailable() from error

    async def close(self) -> None:
        """Close the connections."""
        await self.client.aclose()

    def _note(self, error: Exception) -> None:
        kind = type(error).__name__
        if not isinstance(error, ResponseError):
            _LOGGER.warning("the Redis of the %s does not answer (%s)", self._content, kind)
        elif kind not in self._refusals_seen:
            self._refusals_seen.add(kind)
            _LOGGER.warning("the Redis of the %s refuses an operation with %s; said only once", self._content, kind)

    def _unavailable(self) -> UnavailableError:
        return UnavailableError(f"the store of the {self._content} cannot be reached", retry_after_s=1.0)
