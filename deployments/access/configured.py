"""Makes what guards the service from its configuration."""

from __future__ import annotations

from dataclasses import dataclass

from configs.loader import ROOT
from configs.schema import AccessSettings
from deployments.access.callers import Authenticator, ProxyTrust
from deployments.access.guard import Guard
from deployments.access.limiter import LocalSlots, RateLimiter, RedisSlots
from deployments.access.meter import Meter
from deployments.access.redis_store import RedisKeyStore, access_redis
from deployments.access.store import KeyStore, SqliteKeyStore
from pipelines.breaker import CircuitBreaker


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
    timeout_s = settings.redis_timeout_ms / 1000
    redis_url = _redis_url(settings)
    breaker = CircuitBreaker()  # one Redis, one state
    store = key_store(settings, breaker)
    guard = Guard(
        Authenticator(settings.keys, store, lifetime_s=settings.key_lifetime_s, grace_s=settings.key_grace_s),
        ProxyTrust(settings.trusted_proxies),
        RateLimiter(redis_url, timeout_s, breaker),
        LocalSlots() if redis_url is None else RedisSlots(access_redis(redis_url, timeout_s), breaker),
        rates=settings.rate_limits,
        slot_lease_s=slot_lease_s,
    )
    return Access(guard, Meter(store), settings.cors_origins, None if redis_url is None else breaker)


def key_store(settings: AccessSettings, breaker: CircuitBreaker | None = None) -> KeyStore:
    """Return the store of the keys; `breaker` is that of its Redis."""
    redis_url = _redis_url(settings)
    if redis_url is not None:
        return RedisKeyStore(access_redis(redis_url, settings.redis_timeout_ms / 1000), breaker)
    return SqliteKeyStore(ROOT / settings.sqlite_file)


def _redis_url(settings: AccessSettings) -> str | None:
    if settings.store != "redis" or settings.redis_url is None:
        return None
    return settings.redis_url.get_secret_value()
