"""Where finished translations are kept."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ByteSize, Field, NonNegativeInt, PositiveFloat, PositiveInt, SecretStr

from configs.schema.section import MIB, Name, PositiveBytes, Section


class MemoryCacheSettings(Section):
    """The cache in the cache deployment's own memory: the least recently used entry leaves first."""

    max_size: PositiveInt = 100_000
    """Most entries."""
    max_bytes: PositiveBytes = ByteSize(256 * MIB)
    """Most bytes of keys and translations; units such as 512MiB are understood."""
    ttl_seconds: PositiveFloat | None = 86_400
    """Age at which an entry is forgotten; null keeps it until it is pushed out."""


class RedisCacheSettings(Section):
    """The cache in a Redis that replicas and restarts share."""

    host: Name = "localhost"
    """Host name or address."""
    port: Annotated[int, Field(ge=1, le=65_535)] = 6379
    """TCP port."""
    db: NonNegativeInt = 0
    """Number of the database."""
    username: Name | None = None
    """User of Redis' access control list; null takes Redis' default user."""
    password: SecretStr | None = None
    """Never write it in a file that is committed: set NLLB__CACHE__REDIS__PASSWORD."""
    tls: bool = False
    """Encrypt the connection and verify the server's certificate."""
    ttl_seconds: PositiveInt | None = 604_800
    """Age at which Redis forgets an entry; null leaves it to Redis' own eviction."""
    connect_timeout_ms: PositiveInt = 500
    """Longest wait for a connection."""
    operation_timeout_ms: PositiveInt = 100
    """Longest wait for one answer; past it the request goes to the translator."""
    max_connections: PositiveInt = 32
    """Connections of one cache replica."""
    key_prefix: Name = "nllb:"
    """Start of every key, so that services can share one Redis."""


class NearCacheSettings(Section):
    """What each ingress replica keeps of the answers of the cache, to give them again without asking it."""

    enabled: bool = True
    """Off: every segment is looked up in the cache deployment."""
    max_size: PositiveInt = 10_000
    """Most entries."""
    max_bytes: PositiveBytes = ByteSize(16 * MIB)
    """Most bytes of keys and translations; units such as 512MiB are understood."""
    ttl_seconds: PositiveFloat = 60
    """Age at which an entry is forgotten, and how much longer than in the cache it may be found."""


class CacheSettings(Section):
    """Whether and where finished translations are kept."""

    enabled: bool = True
    """Off: every segment is translated again."""
    type: Literal["memory", "redis"] = "memory"
    """Where entries are kept."""
    memory: MemoryCacheSettings = MemoryCacheSettings()
    redis: RedisCacheSettings = RedisCacheSettings()
    near: NearCacheSettings = NearCacheSettings()
