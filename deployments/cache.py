"""The cache deployment: a `ReadThroughCache` in a replica, in front of the translator's handle.

Does not know how entries are found; see `pipelines.cache`.
"""

from __future__ import annotations

import contextvars
from dataclasses import replace
from typing import Any

from ray import serve
from ray.serve._private.utils import generate_request_id
from ray.serve.context import _get_serve_request_context, _serve_request_context
from ray.serve.handle import DeploymentHandle

from configs.schema import CacheSettings, NearCacheSettings, Settings
from deployments.circuits import record_circuit
from deployments.stations import HandleStation
from deployments.telemetry import Telemetry, current_call
from monitoring import metrics
from monitoring.recorder import Recorder
from pipelines.cache.memory import MemoryStore
from pipelines.cache.near import NearCache
from pipelines.cache.read_through import ReadThroughCache
from pipelines.cache.redis import RedisStore
from pipelines.cache.store import CacheStats, CacheStore
from pipelines.protocols import SegmentTranslator
from pipelines.types import Outcome, Segment

_RAY_TASK_VARIABLES = frozenset({"async_task_id", "async_task_name", "async_task_function_name"})
"""Context variables by which Ray knows whose child a new task is (ray/_raylet.pyx)."""


@serve.deployment(name="Cache")
class CacheDeployment:
    """One station of the serving graph; an ill Redis makes it slower, never wrong and never down."""

    def __init__(self, settings: Settings, model_revision: str, translator: DeploymentHandle[Any]) -> None:
        """Put a cache in front of the translator.

        Args:
            settings: The whole configuration.
            model_revision: Names everything of the base model that decides its output (see `ReadThroughCache`).
            translator: Handle of the translator deployment.
        """
        self._telemetry = Telemetry(settings, "cache")
        self._store = build_store(settings.cache)
        self._cache = ReadThroughCache(
            self._store,
            HandleStation(translator, "translator", self._telemetry.recorder),
            model_revision,
            CacheStages(self._telemetry),
            trip_context=detached_context,
        )
        self._telemetry.start(self._sample)

    async def translate(self, segments: list[Segment], traceparent: str | None = None) -> list[Outcome]:
        """See `SegmentTranslator`; `traceparent` is the caller's place in the request's trace."""
        return await self._telemetry.call(segments, traceparent, self._cache.translate)

    async def stats(self) -> CacheStats:
        """Return the statistics of this replica."""
        return await self._cache.stats()

    async def clear(self) -> int:
        """Remove every entry and return how many there were.

        Entries in memory are those of this replica; a caller who means all of them broadcasts.

        Raises:
            UnavailableError: Redis cannot be reached.
        """
        return await self._cache.clear()

    async def check_health(self) -> None:
        """Answer at all. An ill Redis does not fail it: a new replica would find the same Redis."""
        await self._cache.stats()

    async def _sample(self) -> None:
        record_cache(self._telemetry.recorder, await self._cache.stats())
        if isinstance(self._store, RedisStore):
            record_circuit(self._telemetry.recorder, "cache_redis", self._store.breaker)


class CacheStages:
    """A `CacheObserver`: spans, and a figure of the call's line in the log."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._tracing = telemetry.tracing

    def looked_up(self, num_hits: int, num_misses: int, duration_s: float) -> None:
        """See `CacheObserver`."""
        self._tracing.stage("cache.look_up", duration_s, num_hits=num_hits, num_misses=num_misses)
        call = current_call.get()
        if call is not None:
            call.stage("look_up", duration_s)

    def kept(self, num_entries: int, duration_s: float) -> None:
        """See `CacheObserver`; the call's line is written by now."""
        self._tracing.stage("cache.keep", duration_s, num_entries=num_entries)


def record_cache(recorder: Recorder, stats: CacheStats) -> None:
    """Record what a cache did and holds."""
    recorder.count_to(metrics.CACHE_HITS, stats.hits, tier=stats.type)
    recorder.count_to(metrics.CACHE_MISSES, stats.misses)
    recorder.count_to(metrics.COALESCED, stats.coalesced)
    recorder.count_to(metrics.CACHE_ERRORS, stats.errors)
    recorder.set(metrics.CACHE_AVAILABLE, stats.available, tier=stats.type)
    if stats.evictions is not None:
        recorder.count_to(metrics.CACHE_EVICTIONS, stats.evictions, tier=stats.type)
    if stats.entries is not None:
        recorder.set(metrics.CACHE_ENTRIES, stats.entries, tier=stats.type)
    if stats.size_bytes is not None:
        recorder.set(metrics.CACHE_BYTES, stats.size_bytes, tier=stats.type)


def build_near_cache(settings: NearCacheSettings, station: SegmentTranslator, model_revision: str) -> NearCache:
    """Return a near cache in front of the station that leads to the cache."""
    store = MemoryStore(settings.max_size, settings.max_bytes, settings.ttl_seconds)
    return NearCache(store, station, model_revision)


def build_store(settings: CacheSettings) -> CacheStore:
    """Return the store that the settings name."""
    if settings.type == "memory":
        memory = settings.memory
        return MemoryStore(memory.max_size, memory.max_bytes, memory.ttl_seconds)
    redis = settings.redis
    return RedisStore(
        redis.host,
        redis.port,
        db=redis.db,
        username=redis.username,
        password=redis.password.get_secret_value() if redis.password is not None else None,
        tls=redis.tls,
        ttl_s=redis.ttl_seconds,
        connect_timeout_s=redis.connect_timeout_ms / 1000,
        operation_timeout_s=redis.operation_timeout_ms / 1000,
        max_connections=redis.max_connections,
        key_prefix=redis.key_prefix,
    )


def detached_context() -> contextvars.Context:
    """Return the request's context, names for logs and traces included, without what ties work to its cancellation.

    When a request is cancelled, Serve cancels the calls made under its internal id (`_on_request_cancelled` in
    ray/serve/_private/replica.py) and Ray the tasks that are its task's children; but the call that a trip makes
    belongs to every request that waits for it.
    """
    context = contextvars.Context()
    for variable, value in contextvars.copy_context().items():
        if variable.name not in _RAY_TASK_VARIABLES:
            context.run(variable.set, value)
    request = replace(
        _get_serve_request_context(),
        _internal_request_id=generate_request_id(),
        cancel_on_parent_request_cancel=False,
    )
    context.run(_serve_request_context.set, request)
    return context
