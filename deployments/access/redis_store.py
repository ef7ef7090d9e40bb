"""Keys and usage in a Redis that all nodes share; see `deployments.access.store.KeyStore`."""

from __future__ import annotations

from typing import Any

from deployments.access.keys import KeyRecord
from deployments.access.store import TOKEN_LIFETIME_S, Added, Usage
from pipelines.shared_redis import SharedRedis

_PREFIX = "nllb-access:"


class RedisKeyStore:
    """A `KeyStore` for any number of nodes.

    Nothing that would be missed has a time to live: a Redis that is shared with a cache pushes out what has one when it
    is full, and quotas and what is to be billed would be lost. A key's month takes about 150 bytes.

    Args:
        redis: That all of them reach.
    """

    _ADD = """
    local characters = tonumber(redis.call('HGET', KEYS[1], 'characters') or 0)
    if ARGV[4] ~= '' and redis.call('EXISTS', KEYS[2]) == 1 then
        return {1, characters, tonumber(redis.call('HGET', KEYS[1], 'requests') or 0)}
    end
    if ARGV[3] ~= '' and characters + tonumber(ARGV[1]) > tonumber(ARGV[3]) then
        return {0, characters, tonumber(redis.call('HGET', KEYS[1], 'requests') or 0)}
    end
    characters = redis.call('HINCRBY', KEYS[1], 'characters', ARGV[1])
    local requests = redis.call('HINCRBY', KEYS[1], 'requests', ARGV[2])
    if ARGV[4] ~= '' then redis.call('SET', KEYS[2], '', 'EX', ARGV[4]) end
    return {1, characters, requests}
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

    async def add_usage(
        self, key_id: str, month: str, usage: Usage, *, quota: int | None = None, token: str | None = None
    ) -> Added:
        """See `KeyStore`."""
        names = (_usage_name(key_id, month), f"{_PREFIX}added:{token}")
        amounts = (str(usage.num_characters), str(usage.num_requests), "" if quota is None else str(quota))
        lifetime_s = "" if token is None else str(TOKEN_LIFETIME_S)
        fits, *used = await self._redis.ask(lambda: self._client.eval(self._ADD, 2, *names, *amounts, lifetime_s))
        return Added(bool(fits), Usage(*used))

    async def usage(self, key_id: str, month: str) -> Usage:
        """See `KeyStore`."""
        name = _usage_name(key_id, month)
        counts = await self._redis.ask(lambda: self._client.hmget(name, ["characters", "requests"]))
        return Usage(*(int(count or 0) for count in counts))


def _usage_name(key_id: str, month: str) -> str:
    return f"{_PREFIX}usage:{key_id}:{month}"
