"""The cache as a station: what is answered from the store, what is passed on, and what is kept."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from pipelines.breaker import CircuitBreaker
from pipelines.cache.codec import encode
from pipelines.cache.key import segment_key
from pipelines.cache.memory import MemoryStore
from pipelines.cache.read_through import ReadThroughCache
from pipelines.cache.redis import RedisStore
from pipelines.errors import EngineError
from pipelines.types import DecodingOptions, Failure, Translation
from tests.redis_server import RedisServer
from tests.unit.pipelines.cache.asking import REVISION, error_of, segment, started, texts
from tests.unit.pipelines.cache.fakes import FakeStation, FakeStore, Stages


async def test_a_second_request_is_answered_from_the_store() -> None:
    """The same translation comes back, marked as cached, without a call of the station."""
    whole = Translation(text="B", score=-0.5, num_source_tokens=3, num_target_tokens=2)
    station = FakeStation(lambda _: whole)
    cache = ReadThroughCache(MemoryStore(10, 10_000), station, REVISION)
    assert await cache.translate([segment("a")]) == [whole]
    await cache.close()
    assert await cache.translate([segment("a")]) == [replace(whole, cached=True)]
    assert len(station.calls) == 1


async def test_misses_of_a_request_go_on_in_one_call_and_outcomes_stay_in_order() -> None:
    """Hits, misses and duplicates mixed: one call with each miss once, one outcome per segment."""
    store, station = FakeStore(), FakeStation()
    cache = ReadThroughCache(store, station, REVISION)
    for text in "bd":
        key = segment_key(segment(text), REVISION)
        store.entries[key] = encode(key, Translation(text=f"stored {text}"))
    outcomes = await cache.translate([segment(text) for text in "abcabd"])
    assert texts(outcomes) == ["A", "stored b", "C", "A", "stored b", "stored d"]
    assert [s.text for call in station.calls for s in call] == ["a", "c"]
    assert len(station.calls) == 1
    stats = await cache.stats()
    assert (stats.hits, stats.misses, stats.coalesced, stats.errors) == (2, 2, 2, 1)


async def test_an_observer_is_told_of_each_stage() -> None:
    """How many were found and missed, then how many were kept; what joins a flight looks nothing up."""
    stages = Stages()
    cache = ReadThroughCache(FakeStore(), FakeStation(), REVISION, stages)
    await cache.translate([segment("a")])
    await cache.close()
    await cache.translate([segment(text) for text in "abcc"])
    await cache.close()
    assert stages.seen == [("looked up", 0, 1), ("kept", 1), ("looked up", 1, 2), ("kept", 2)]


async def test_no_segments_need_no_call() -> None:
    """An empty request has an empty answer."""
    station = FakeStation()
    assert await ReadThroughCache(FakeStore(), station, REVISION).translate([]) == []
    assert station.calls == []


async def test_an_entry_that_cannot_be_read_is_translated_anew() -> None:
    """Broken bytes are a miss and an error in the statistics, and the new entry takes their place."""
    store, station = FakeStore(), FakeStation()
    cache = ReadThroughCache(store, station, REVISION)
    key = segment_key(segment("a"), REVISION)
    store.entries[key] = b"\x80broken"
    assert texts(await cache.translate([segment("a")])) == ["A"]
    await cache.close()
    assert store.entries[key] == encode(key, Translation(text="A"))
    stats = await cache.stats()
    assert (stats.hits, stats.misses, stats.errors) == (0, 1, 2)


async def test_another_model_answers_nothing_of_this_one() -> None:
    """Two caches over one store, for different revisions, share nothing."""
    store, station = FakeStore(), FakeStation()
    for revision in ("one", "other"):
        cache = ReadThroughCache(store, station, revision)
        await cache.translate([segment("a")])
        await cache.close()
    assert len(station.calls) == 2


async def test_what_another_model_translated_is_answered_and_not_kept() -> None:
    """While another model is rolled out, a translator of either may be asked; a new cache keeps nothing of the old."""
    store, station = FakeStore(), FakeStation(model_revision="the model before")
    cache = ReadThroughCache(store, station, REVISION)
    assert texts(await cache.translate([segment("a")])) == ["A"]
    station.model_revision = REVISION
    station.answer = lambda _: Translation(text="better")
    for _ in range(2):
        assert texts(await cache.translate([segment("a")])) == ["better"]
    await cache.close()
    assert len(station.calls) == 2


async def test_a_failing_segment_fails_alone_and_is_not_kept() -> None:
    """Its neighbours are translated and kept; asked again, it is tried again."""
    station = FakeStation(lambda s: Failure(EngineError("no")) if s.text == "bad" else Translation(text=s.text.upper()))
    store = FakeStore()
    cache = ReadThroughCache(store, station, REVISION)
    outcomes = await cache.translate([segment("a"), segment("bad"), segment("c")])
    assert texts([outcomes[0], outcomes[2]]) == ["A", "C"]
    assert isinstance(error_of(outcomes[1]), EngineError)
    await cache.close()
    assert len(store.entries) == 2
    await cache.translate([segment("bad")])
    assert len(station.calls) == 2


@pytest.mark.parametrize(
    ("finish", "max_new_tokens", "kept"), [("stop", None, 1), ("length", None, 0), ("length", 5, 1)]
)
async def test_an_output_that_was_cut_is_kept_only_if_its_bound_is_in_the_key(
    finish: Any, max_new_tokens: int | None, kept: int
) -> None:
    """The engine's own bound is no part of the key, so what it cut is not kept."""
    store, station = FakeStore(), FakeStation(lambda _: Translation(text="A", finish=finish))
    cache = ReadThroughCache(store, station, REVISION)
    await cache.translate([segment("a", decoding=DecodingOptions(max_new_tokens=max_new_tokens))])
    await cache.close()
    assert len(store.entries) == kept


async def test_writes_are_bounded() -> None:
    """With too many writes under way a translation is answered, not kept, and counted as an error."""
    store, station = FakeStore(), FakeStation()
    cache = ReadThroughCache(store, station, REVISION, max_pending_writes=2)
    store.writable.clear()
    for text in "abcd":
        assert texts(await cache.translate([segment(text)])) == [text.upper()]
    store.writable.set()
    await cache.close()
    assert len(store.entries) == 2
    assert (await cache.stats()).errors == 1 + 2


async def test_a_write_outlives_the_request() -> None:
    """A request that goes away after its answer does not take the entry with it."""
    store, station = FakeStore(), FakeStation()
    cache = ReadThroughCache(store, station, REVISION)
    store.writable.clear()
    request = await started(cache.translate([segment("a")]))
    await request
    store.writable.set()
    await cache.close()
    assert len(store.entries) == 1


async def test_clear_forgets_all() -> None:
    """What was kept is translated again."""
    station = FakeStation()
    cache = ReadThroughCache(MemoryStore(10, 10_000), station, REVISION)
    await cache.translate([segment("a"), segment("b")])
    await cache.close()
    assert await cache.clear() == 2
    await cache.translate([segment("a")])
    assert len(station.calls) == 2


async def test_redis_that_stops_under_load_loses_no_request(redis_server: RedisServer) -> None:
    """Killed in the middle of a load and started again: every answer is there and right, and hits come back."""
    breaker = CircuitBreaker(failures_to_open=3, cool_down_s=0.01)
    store = RedisStore("127.0.0.1", redis_server.port, operation_timeout_s=30, breaker=breaker)
    cache = ReadThroughCache(store, FakeStation(), REVISION)

    async def load(answered: asyncio.Semaphore) -> None:
        async def client(number: int) -> None:
            for turn in range(20):
                segments = [segment(f"text {(number * turn + i) % 50}") for i in range(4)]
                assert texts(await cache.translate(segments)) == [s.text.upper() for s in segments]
                answered.release()

        await asyncio.gather(*(client(number) for number in range(16)))

    answered = asyncio.Semaphore(0)
    under_load = asyncio.create_task(load(answered))
    for _ in range(100):
        await answered.acquire()
    assert (await cache.stats()).hits > 0
    redis_server.kill()
    await under_load
    redis_server.start()
    hits = (await cache.stats()).hits
    async with asyncio.timeout(60):
        while (await cache.stats()).hits == hits:
            await load(asyncio.Semaphore(0))
    await cache.close()
