"""The cache deployment, without Ray: which store it builds, what it serves, and whose child its calls are."""

from __future__ import annotations

import contextvars
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pydantic import ByteSize, SecretStr
from ray._raylet import (  # type: ignore[attr-defined]  # compiled
    async_task_function_name,
    async_task_id,
    async_task_name,
)
from ray.serve.context import _get_serve_request_context, _RequestContext, _serve_request_context

from configs.schema import (
    CacheSettings,
    MemoryCacheSettings,
    NearCacheSettings,
    RedisCacheSettings,
    Settings,
    TracingSettings,
)
from deployments.cache import (
    CacheDeployment,
    CacheStages,
    build_near_cache,
    build_store,
    detached_context,
    record_cache,
)
from deployments.telemetry import Telemetry
from monitoring import metrics
from monitoring.recorder import Recorder
from pipelines.cache.memory import MemoryStore
from pipelines.cache.read_through import ReadThroughCache
from pipelines.cache.redis import RedisStore
from pipelines.types import Segment, Translation
from tests.fakes import ShoutingStation
from tests.otlp_collector import OtlpCollector
from tests.redis_server import running_redis

SEGMENT = Segment(text="hello", source_lang="eng_Latn", target_lang="fra_Latn")


def _deployment(settings: CacheSettings) -> Any:
    translator = ShoutingStation()
    handle = SimpleNamespace(translate=SimpleNamespace(remote=lambda segments, _: translator.translate(segments)))
    deployment: Any = CacheDeployment
    return deployment.func_or_class(Settings(cache=settings), "", handle)


async def test_it_answers_again_from_memory_until_cleared() -> None:
    """A hit says that it was cached; statistics and clearing reach the store."""
    cache = _deployment(CacheSettings())
    assert await cache.translate([SEGMENT]) == [Translation(text="HELLO")]
    assert await cache.translate([SEGMENT]) == [Translation(text="HELLO", cached=True)]
    stats = await cache.stats()
    assert (stats.type, stats.entries, stats.hits, stats.misses) == ("memory", 1, 1, 1)
    assert await cache.clear() == 1


async def test_its_statistics_become_metrics() -> None:
    """Hits, misses and what is held, by tier; counters advance by what is new."""
    cache, recorder = _deployment(CacheSettings()), Recorder()
    await cache.translate([SEGMENT])
    record_cache(recorder, await cache.stats())
    await cache.translate([SEGMENT])
    record_cache(recorder, await cache.stats())
    assert recorder.total(metrics.CACHE_MISSES) == 1
    assert recorder.total(metrics.CACHE_HITS, tier="memory") == 1
    assert recorder.gauges[metrics.CACHE_ENTRIES, ("memory",)] == 1
    assert recorder.gauges[metrics.CACHE_AVAILABLE, ("memory",)] == 1


async def test_a_near_cache_is_a_tier_of_its_own() -> None:
    """Its hits add to those of the cache behind it; what it misses is counted there."""
    cache, recorder = _deployment(CacheSettings()), Recorder()
    near = build_near_cache(NearCacheSettings(), cache, "")
    for _ in range(4):
        await near.translate([SEGMENT])
    record_cache(recorder, await near.stats())
    record_cache(recorder, await cache.stats())
    assert recorder.total(metrics.CACHE_MISSES) == 1
    assert recorder.total(metrics.CACHE_HITS, tier="memory") == 1
    assert recorder.total(metrics.CACHE_HITS, tier="near") == 2
    assert recorder.gauges[metrics.CACHE_ENTRIES, ("near",)] == 1


async def test_what_its_store_does_are_spans_of_its_call() -> None:
    """Reading, and the writing that nobody waits for, with how many there were."""
    collector, trace_id = OtlpCollector(), "0af7651916cd43dd8448eb211c80319c"
    telemetry = Telemetry(Settings(tracing=TracingSettings(endpoint=collector.endpoint)), "cache")
    cache = ReadThroughCache(
        MemoryStore(10, 10_000), ShoutingStation(), "", CacheStages(telemetry), trip_context=detached_context
    )
    await telemetry.call([SEGMENT], f"00-{trace_id}-b7ad6b7169203331-01", cache.translate)
    await cache.close()
    telemetry.tracing.close()
    collector.close()
    spans = {span.name: span for span in collector.of_trace(trace_id)}
    assert {spans["cache.look_up"].parent_id, spans["cache.keep"].parent_id} == {spans["cache"].span_id}
    assert spans["cache.look_up"].attributes == {"num_hits": 0, "num_misses": 1}
    assert spans["cache.keep"].attributes == {"num_entries": 1}


async def test_a_redis_that_is_down_leaves_it_healthy() -> None:
    """The health check passes, and requests are answered; nothing listens on port 1."""
    cache = _deployment(CacheSettings(type="redis", redis=RedisCacheSettings(host="127.0.0.1", port=1)))
    await cache.check_health()
    assert await cache.translate([SEGMENT]) == [Translation(text="HELLO")]
    assert not (await cache.stats()).available


async def test_the_memory_store_has_the_bounds_of_the_settings() -> None:
    """Entries, bytes and age come from the section `memory`."""
    store = build_store(CacheSettings(memory=MemoryCacheSettings(max_size=7, max_bytes=ByteSize(9000))))
    assert isinstance(store, MemoryStore)
    stats = await store.stats()
    assert (stats.max_entries, stats.max_bytes) == (7, 9000)


async def test_the_redis_store_has_the_address_password_and_age_of_the_settings(tmp_path: Path) -> None:
    """Against a real Redis with a password; the password does not show."""
    with running_redis(tmp_path, password="s3cret") as server:
        section = RedisCacheSettings(
            host="127.0.0.1",
            port=server.port,
            db=3,
            username="default",
            password=SecretStr("s3cret"),
            operation_timeout_ms=30_000,
        )
        store = build_store(CacheSettings(type="redis", redis=section))
        await store.put_many({"a": b"1"})
        assert await store.get_many(["a"]) == [b"1"]
        keyspace = server.command("INFO", "keyspace")
        await store.close()
    assert isinstance(store, RedisStore)
    assert isinstance(keyspace, dict)
    assert (keyspace["db3"]["keys"], keyspace["db3"]["expires"]) == (1, 1)
    assert "s3cret" not in repr(store)


def test_shared_work_is_no_child_of_the_request_that_started_it() -> None:
    """Neither Serve nor Ray can cancel it with that request, but logs still name the request."""

    def look() -> None:
        async_task_id.set("task")
        async_task_name.set("translate")
        async_task_function_name.set("translate")
        _serve_request_context.set(
            _RequestContext(request_id="r-1", _internal_request_id="i-1", cancel_on_parent_request_cancel=True)
        )
        detached = detached_context()
        inside = detached.run(_get_serve_request_context)
        assert inside.request_id == "r-1"
        assert inside._internal_request_id not in ("", "i-1")
        assert not inside.cancel_on_parent_request_cancel
        for variable in (async_task_id, async_task_name, async_task_function_name):
            assert detached.get(variable) is None

    contextvars.copy_context().run(look)
