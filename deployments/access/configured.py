"""Makes what guards the service from its configuration."""

from __future__ import annotations

from dataclasses import dataclass

from configs.loader import ROOT
from configs.schema import AccessSettings
from deployments.access.callers import Authenticator, ProxyTrust
from deployments.access.guard import Guard
from deployments.access.limiter import LocalSlots, RateLimiter, RedisSlots
from deployments.access.meter import Meter
from deployments.access.redis_store import RedisKeyStore
from deployments.access.store import KeyStore, SqliteKeyStore
from pipelines.breaker import CircuitBreaker
from pipelines.shared_redis import SharedRedis


@dataclass(frozen=True, slots=True)
class Access:
    """What an API needs of this package.

    Attributes:
        guard: Decides about requests.
        meter: Counts characters.
        cors_origins: Sites whose pages may call the service.
        breaker: Of the Redis behind it, or None.
    """

    guard: Guard
    meter: Meter
    cors_origins: tuple[str, ...] = ()
    breaker: CircuitBreaker | None = None


def configured_access(settings: AccessSettings, *, slot_lease_s: float = 60.0) -> Access:
    """Return what the settings describe; nothing is opened or connected before the first request.

    Args:
        settings: Who may do what.
        slot_lease_s: Longest time that a request may take.
    """
    redis = _shared_redis(settings)
    store = _store(settings, redis)
    guard = Guard(
        Authenticator(settings.keys, store, lifetime_s=settings.key_lifetime_s, grace_s=settings.key_grace_s),
        ProxyTrust(settings.trusted_proxies),
        RateLimiter(redis),
        LocalSlots() if redis is None else RedisSlots(redis),
        rates=settings.rate_limits,
        slot_lease_s=slot_lease_s,
    )
    return Access(guard, Meter(store), settings.cors_origins, None if redis is None else redis.breaker)


def key_store(settings: AccessSettings) -> KeyStore:
    """Return the store of the keys."""
    return _store(settings, _shared_redis(settings))


def _store(settings: AccessSettings, redis: SharedRedis | None) -> KeyStore:
    return SqliteKeyStore(ROOT / settings.sqlite_file) if redis is None else RedisKeyStore(redis)


def _shared_redis(settings: AccessSettings) -> SharedRedis | None:
    if settings.store != "redis" or settings.redis_url is None:
        return None
    return SharedRedis(settings.redis_url.get_secret_value(), settings.redis_timeout_ms / 1000, content="keys")
