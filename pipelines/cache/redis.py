"""Entries in a Redis that replicas and restarts share; whatever ails it, a request loses one short wait at most.

One server, or a proxy in front of several; not Redis Cluster, because entries are read many at a time. Knows no
segments and no translations.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio import BlockingConnectionPool, Connection, Redis, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import ResponseError

from pipelines.breaker import CircuitBreaker
from pipelines.cache.store import CacheStats
from pipelines.errors import UnavailableError

_LOGGER = logging.getLogger(__name__)
_SCAN_PAGE_KEYS = 1000
_FIRST_PAUSE_S = 0.005


class RedisStore:
    """A `CacheStore` that finds nothing and keeps nothing while Redis is down, slow, full or closed to us.

    A caller waits for an operation no longer than its time-out. A late operation is left to end by itself, because
    a command that is cancelled half-way costs its connection. After a few failures in a row a circuit breaker leaves
    Redis alone, but for a probe now and then.
    """

    def __init__(
        self,
        host: str,
        port: int = 6379,
        *,
        db: int = 0,
        username: str | None = None,
        password: str | None = None,
        tls: bool = False,
        ttl_s: int | None = None,
        connect_timeout_s: float = 0.5,
        operation_timeout_s: float = 0.1,
        max_connections: int = 32,
        key_prefix: str = "nllb:",
        breaker: CircuitBreaker | None = None,
    ) -> None:
        """Make a store; nothing is sent before the first operation.

        Args:
            host: Name or address of the server.
            port: Its TCP port.
            db: Number of the database.
            username: User of Redis' access control list; None takes the default user.
            password: Of that user.
            tls: Encrypt, and verify the certificate against the system's authorities (or `SSL_CERT_FILE`).
            ttl_s: Age at which Redis forgets an entry; None leaves it to Redis' own eviction.
            connect_timeout_s: Longest time to open one connection.
            operation_timeout_s: Longest time that a caller waits.
            max_connections: Connections of this store; operations beyond wait for one.
            key_prefix: Start of every key; `clear` removes what starts with it.
            breaker: Decides when Redis is left alone.
        """
        self._address = f"{host}:{port}"
        self._connection_arguments: dict[str, Any] = {
            "connection_class": SSLConnection if tls else Connection,
            "host": host,
            "port": port,
            "db": db,
            "username": username,
            "password": password,
            "max_connections": max_connections,
            "timeout": operation_timeout_s,
            "socket_timeout": operation_timeout_s,
            "socket_connect_timeout": connect_timeout_s,
            # A connection that Redis closed meanwhile is found out by using it; another one is open by then.
            "retry": Retry(ExponentialWithJitterBackoff(base=_FIRST_PAUSE_S, cap=operation_timeout_s / 2), 2),
            # The plain protocol and no introduction: as few round trips per connection as possible.
            "protocol": 2,
            "driver_info": None,
        }
        self._ttl_s = ttl_s
        self._operation_timeout_s = operation_timeout_s
        self._key_prefix = key_prefix
        self.breaker = breaker or CircuitBreaker()
        self._client: Redis | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._operations: set[asyncio.Task[Any]] = set()
        self._num_errors = 0
        self._refusals_seen: set[str] = set()

    async def get_many(self, keys: list[str]) -> list[bytes | None]:
        """See `CacheStore`."""
        if not keys:
            return []
        names = [self._key_prefix + key for key in keys]
        entries: list[bytes | None] | None = await self._attempt(lambda client: client.mget(names))
        return entries if entries is not None else [None] * len(keys)

    async def put_many(self, entries: dict[str, bytes]) -> None:
        """See `CacheStore`."""
        if not entries:
            return

        def put(client: Redis) -> Awaitable[Any]:
            pipeline = client.pipeline(transaction=False)
            for key, entry in entries.items():
                pipeline.set(self._key_prefix + key, entry, ex=self._ttl_s)
            return pipeline.execute()

        await self._attempt(put)

    async def clear(self) -> int:
        """See `CacheStore`. Other keys of the database are left alone."""
        pattern = re.sub(r"([\\*?\[\]])", r"\\\1", self._key_prefix) + "*"
        cursor, num_removed = 0, 0
        while True:
            cursor, names = await self._insist("SCAN", cursor, "MATCH", pattern, "COUNT", _SCAN_PAGE_KEYS)
            if names:
                num_removed += await self._insist("UNLINK", *names)
            if cursor == 0:
                return num_removed

    async def stats(self) -> CacheStats:
        """See `CacheStore`."""

        def ask(client: Redis) -> Awaitable[Any]:
            pipeline = client.pipeline(transaction=False)
            pipeline.dbsize()
            pipeline.info("memory")
            pipeline.info("stats")
            return pipeline.execute()

        answer = await self._attempt(ask)
        num_keys, memory, counters = answer if answer is not None else (None, {}, {})
        return CacheStats(
            type="redis",
            available=answer is not None,
            entries=num_keys,
            max_entries=None,
            size_bytes=memory.get("used_memory"),
            max_bytes=memory.get("maxmemory") or None,
            evictions=counters.get("evicted_keys"),
            errors=self._num_errors,
        )

    async def close(self) -> None:
        """See `CacheStore`."""
        client, self._client = self._client, None
        if client is None or self._loop is not asyncio.get_running_loop():
            return
        if self._operations:
            await asyncio.wait(self._operations)
        await client.aclose()

    async def _insist(self, *command: str | bytes | int) -> Any:
        answer = await self._attempt(lambda client: client.execute_command(*command))  # type: ignore[no-untyped-call]
        if answer is None:
            raise UnavailableError(f"the cache's Redis at {self._address} does not answer as it should")
        return answer

    async def _attempt(self, command: Callable[[Redis], Awaitable[Any]]) -> Any | None:
        """Run one command; None when Redis is left alone, does not answer in time or refuses."""
        if not self.breaker.admit():
            return None
        operation = asyncio.create_task(_answer_or_error(command, self._client_of_this_loop()))
        self._operations.add(operation)
        operation.add_done_callback(self._operations.discard)
        await asyncio.wait([operation], timeout=self._operation_timeout_s)
        answer = operation.result() if operation.done() else TimeoutError("no answer in time")
        if isinstance(answer, ResponseError):
            self._refused(answer)
        elif isinstance(answer, Exception):
            self._failed(answer)
        else:
            self._answered()
            return answer
        self._num_errors += 1
        return None

    def _client_of_this_loop(self) -> Redis:
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            # Connections belong to the loop that opened them; those of a loop that is gone die with it.
            self._client = Redis.from_pool(BlockingConnectionPool(**self._connection_arguments))
            self._loop = loop
            self._operations.clear()
        return self._client

    def _answered(self) -> None:
        if self.breaker.is_open:
            _LOGGER.info("Redis at %s answers again", self._address)
        self.breaker.succeeded()

    def _refused(self, error: ResponseError) -> None:
        """A refusal is an answer: a full Redis (OOM) still reads, so it is not left alone."""
        self._answered()
        kind = type(error).__name__
        if kind not in self._refusals_seen:
            self._refusals_seen.add(kind)
            _LOGGER.warning("Redis at %s refuses an operation with %s; said only once", self._address, kind)

    def _failed(self, error: Exception) -> None:
        was_open = self.breaker.is_open
        self.breaker.failed()
        if self.breaker.is_open and not was_open:
            _LOGGER.warning(
                "Redis at %s does not answer (%s); going on without it", self._address, type(error).__name__
            )


async def _answer_or_error(command: Callable[[Redis], Awaitable[Any]], client: Redis) -> Any:
    try:
        return await command(client)
    except Exception as error:  # whatever the client library meets, the request goes on
        return error
