"""The cache as a station: hits, coalescing, failures, cancellation, deadlines, writes."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

import pytest

from pipelines.breaker import CircuitBreaker
from pipelines.cache.codec import encode
from pipelines.cache.key import segment_key
from pipelines.cache.memory import MemoryStore
from pipelines.cache.read_through import ReadThroughCache
from pipelines.cache.redis import RedisStore
from pipelines.errors import (
    DeadlineExceededError,
    EngineError,
    OverloadedError,
    TranslationError,
    UnavailableError,
)
from pipelines.types import DecodingOptions, Failure, Outcome, Segment, Translation
from tests.redis_server import RedisServer
from tests.unit.pipelines.cache.fakes import Clock, FakeStation, FakeStore

REVISION = "0f3a"


def segment(text: str, **fields: Any) -> Segment:
    """A segment from English to French."""
    return Segment(text=text, source_lang="eng_Latn", target_lang="fra_Latn", **fields)


def texts(outcomes: list[Outcome]) -> list[str]:
    """The outputs; every outcome must be a translation."""
    assert all(isinstance(outcome, Translation) for outcome in outcomes), outcomes
    return [outcome.text for outcome in outcomes if isinstance(outcome, Translation)]


def error_of(outcome: Outcome) -> TranslationError:
    """The error of an outcome, which must be a failure."""
    assert isinstance(outcome, Failure)
    return outcome.error


async def started(work: Coroutine[Any, Any, list[Outcome]]) -> asyncio.Task[list[Outcome]]:
    """Start a request and let it reach what it has to wait for."""
    task = asyncio.create_task(work)
    for _ in range(5):
        await asyncio.sleep(0)
    return task


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


async def test_equal_requests_in_flight_are_translated_once() -> None:
    """Requests that arrive while an equal one is on its way wait for it and all get its outcome."""
    station = FakeStation()
    cache = ReadThroughCache(FakeStore(), station, REVISION)
    station.released.clear()
    requests = [await started(cache.translate([segment("a"), segment(str(n))])) for n in range(5)]
    station.released.set()
    assert [texts(await request) for request in requests] == [["A", str(n)] for n in range(5)]
    assert [s.text for call in station.calls for s in call] == ["a", "0", "1", "2", "3", "4"]


async def test_a_request_joins_a_translation_that_is_still_being_written() -> None:
    """Between the answer and the end of its write nothing is translated twice."""
    store, station = FakeStore(), FakeStation()
    cache = ReadThroughCache(store, station, REVISION)
    store.writable.clear()
    assert texts(await cache.translate([segment("a")])) == ["A"]
    assert texts(await cache.translate([segment("a", priority=-1)])) == ["A"]
    assert store.entries == {}
    store.writable.set()
    await cache.close()
    assert len(store.entries) == 1
    assert len(station.calls) == 1


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


@pytest.mark.parametrize("cancelled", [0, 1])
async def test_one_request_that_gives_up_leaves_the_others_their_translation(cancelled: int) -> None:
    """Whether the first or a later one is cancelled, the call goes on for those that wait."""
    station = FakeStation()
    cache = ReadThroughCache(FakeStore(), station, REVISION)
    station.released.clear()
    requests = [await started(cache.translate([segment("a")])) for _ in range(3)]
    requests[cancelled].cancel()
    with pytest.raises(asyncio.CancelledError):
        await requests.pop(cancelled)
    station.released.set()
    assert [texts(await request) for request in requests] == [["A"], ["A"]]
    assert (len(station.calls), station.num_cancelled) == (1, 0)


async def test_a_call_goes_on_for_a_request_that_waits_for_a_part_of_it() -> None:
    """A request that joined one segment of another's call gets it after the other has given up."""
    station = FakeStation()
    cache = ReadThroughCache(FakeStore(), station, REVISION)
    station.released.clear()
    first = await started(cache.translate([segment("a"), segment("b")]))
    second = await started(cache.translate([segment("b")]))
    first.cancel()
    await asyncio.wait([first])
    station.released.set()
    assert texts(await second) == ["B"]


async def test_work_that_nobody_waits_for_is_cancelled() -> None:
    """When the last request has given up so does the call, and the next equal request starts its own."""
    station = FakeStation()
    cache = ReadThroughCache(FakeStore(), station, REVISION)
    station.released.clear()
    requests = [await started(cache.translate([segment("a"), segment("b")])) for _ in range(2)]
    for request in requests:
        request.cancel()
    await asyncio.wait(requests)
    again = await started(cache.translate([segment("a")]))
    assert station.num_cancelled == 1
    station.released.set()
    assert texts(await again) == ["A"]
    assert len(station.calls) == 2


async def test_a_request_that_tries_again_at_once_does_not_join_work_that_ends() -> None:
    """From the moment that a call is given up, nobody can join it."""
    station = FakeStation()
    cache = ReadThroughCache(FakeStore(), station, REVISION)

    async def insist() -> list[Outcome]:
        try:
            return await cache.translate([segment("a")])
        except asyncio.CancelledError:
            return await cache.translate([segment("a")])

    station.released.clear()
    request = await started(insist())
    request.cancel()
    await asyncio.sleep(0)
    station.released.set()
    assert texts(await request) == ["A"]


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


class BrokenStation(FakeStation):
    """Raises instead of answering."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    async def translate(self, segments: list[Segment]) -> list[Outcome]:
        """Fail as a whole."""
        await super().translate(segments)
        raise self.error


@pytest.mark.parametrize("error", [UnavailableError("gone"), OverloadedError("full", retry_after_s=2)])
async def test_a_station_that_fails_as_a_whole_fails_each_segment_that_needs_it(error: TranslationError) -> None:
    """All that wait get the station's error, hits are answered, and nothing is kept."""
    store, station = FakeStore(), BrokenStation(error)
    key = segment_key(segment("hit"), REVISION)
    store.entries[key] = encode(key, Translation(text="stored"))
    cache = ReadThroughCache(store, station, REVISION)
    station.released.clear()
    leader = await started(cache.translate([segment("a"), segment("hit"), segment("b")]))
    follower = await started(cache.translate([segment("b")]))
    station.released.set()
    first, hit, second = await leader
    assert texts([hit]) == ["stored"]
    assert error_of(first) is error_of(second) is error_of((await follower)[0]) is error
    assert len(station.calls) == 1
    await cache.close()
    assert len(store.entries) == 1


async def test_a_station_with_a_defect_tells_callers_nothing_of_it(caplog: pytest.LogCaptureFixture) -> None:
    """An exception that is no domain error becomes a plain failure; the log has the rest."""
    cache = ReadThroughCache(FakeStore(), BrokenStation(ValueError("secret")), REVISION)
    (outcome,) = await cache.translate([segment("a")])
    assert error_of(outcome).code == "internal"
    assert "secret" not in error_of(outcome).message
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def test_a_station_that_forgets_an_outcome_fails_the_call(caplog: pytest.LogCaptureFixture) -> None:
    """An answer of another length is never matched to segments by guess."""

    class Forgetful(FakeStation):
        async def translate(self, segments: list[Segment]) -> list[Outcome]:
            return (await super().translate(segments))[1:]

    cache = ReadThroughCache(FakeStore(), Forgetful(), REVISION)
    outcomes = await cache.translate([segment("a"), segment("b")])
    assert [error_of(outcome).code for outcome in outcomes] == ["internal"] * 2
    assert "1 outcomes for 2 segments" in caplog.text


async def test_a_station_that_cancels_itself_leaves_nobody_waiting() -> None:
    """A call cancelled from behind is a failure, not a hang and not the caller's cancellation."""
    cache = ReadThroughCache(FakeStore(), BrokenStation(asyncio.CancelledError()), REVISION)
    (outcome,) = await cache.translate([segment("a")])
    assert isinstance(error_of(outcome), UnavailableError)


def late_before(limit_unix_s: float) -> FakeStation:
    """A station that is too late for every deadline before the limit."""
    return FakeStation(
        lambda s: (
            Failure(DeadlineExceededError("late"))
            if s.deadline_unix_s is not None and s.deadline_unix_s < limit_unix_s
            else Translation(text=s.text.upper())
        )
    )


async def test_the_deadline_of_another_request_is_not_mine() -> None:
    """Followers with more time than a leader that ran out of it are tried again, each with time enough of its own."""
    station = late_before(20)
    cache = ReadThroughCache(FakeStore(), station, REVISION, clock_unix_s=Clock())
    station.released.clear()
    leader = await started(cache.translate([segment("a", deadline_unix_s=10), segment("b", deadline_unix_s=10)]))
    still_late = await started(cache.translate([segment("a", deadline_unix_s=15)]))
    in_time = [
        await started(cache.translate([segment("b"), segment("a", deadline_unix_s=deadline)])) for deadline in (30, 25)
    ]
    station.released.set()
    assert [error_of(outcome).code for outcome in await leader] == ["deadline_exceeded"] * 2
    assert [error_of(outcome).code for outcome in await still_late] == ["deadline_exceeded"]
    assert [texts(await follower) for follower in in_time] == [["B", "A"]] * 2
    assert [[(s.text, s.deadline_unix_s) for s in call] for call in station.calls] == [
        [("a", 10), ("b", 10)],
        [("a", 15)],
        [("b", None), ("a", 30)],
    ]


async def test_a_follower_whose_own_time_is_over_is_not_tried_again() -> None:
    """What nobody waits for any more is not passed on."""
    station, clock = late_before(20), Clock()
    cache = ReadThroughCache(FakeStore(), station, REVISION, clock_unix_s=clock)
    station.released.clear()
    leader = await started(cache.translate([segment("a", deadline_unix_s=10)]))
    follower = await started(cache.translate([segment("a", deadline_unix_s=15)]))
    clock.now_s = 15
    station.released.set()
    for request in (leader, follower):
        assert [error_of(outcome).code for outcome in await request] == ["deadline_exceeded"]
    assert len(station.calls) == 1


async def test_equal_segments_of_one_request_may_have_different_deadlines() -> None:
    """The one with more time does not share the fate of the other."""
    station = late_before(20)
    cache = ReadThroughCache(FakeStore(), station, REVISION, clock_unix_s=Clock())
    outcomes = await cache.translate([segment("a", deadline_unix_s=10), segment("a", deadline_unix_s=30)])
    assert isinstance(error_of(outcomes[0]), DeadlineExceededError)
    assert texts(outcomes[1:]) == ["A"]


async def test_an_own_deadline_that_fails_is_final() -> None:
    """A station that refuses what it cannot do in time is not asked twice."""
    station = late_before(20)
    cache = ReadThroughCache(FakeStore(), station, REVISION, clock_unix_s=Clock())
    (outcome,) = await cache.translate([segment("a", deadline_unix_s=10)])
    assert isinstance(error_of(outcome), DeadlineExceededError)
    assert len(station.calls) == 1


async def test_a_follower_with_less_time_than_its_leader_does_not_wait_longer() -> None:
    """At its own deadline it fails, and the leader is none the worse for it."""
    station, clock = FakeStation(), Clock()
    cache = ReadThroughCache(FakeStore(), station, REVISION, clock_unix_s=clock)
    station.released.clear()
    leader = await started(cache.translate([segment("a")]))
    clock.now_s = 10
    (outcome,) = await cache.translate([segment("a", deadline_unix_s=10)])
    assert isinstance(error_of(outcome), DeadlineExceededError)
    station.released.set()
    assert texts(await leader) == ["A"]


async def test_an_urgent_segment_does_not_queue_behind_its_patient_equal() -> None:
    """It gets a flight of its own, which later ones of either kind join."""
    station = FakeStation()
    cache = ReadThroughCache(FakeStore(), station, REVISION)
    station.released.clear()
    requests = [await started(cache.translate([segment("a", priority=p)])) for p in (5, 1, 5, 1)]
    station.released.set()
    assert [texts(await request) for request in requests] == [["A"]] * 4
    assert [s.priority for call in station.calls for s in call] == [5, 1]


async def test_a_patient_segment_that_is_given_up_takes_nobody_along() -> None:
    """A request joins the urgent flight also after the patient one before it has ended."""
    station = FakeStation()
    cache = ReadThroughCache(FakeStore(), station, REVISION)
    station.released.clear()
    patient = await started(cache.translate([segment("a", priority=5)]))
    urgent = await started(cache.translate([segment("a", priority=1)]))
    patient.cancel()
    await asyncio.wait([patient])
    late = await started(cache.translate([segment("a", priority=5)]))
    station.released.set()
    assert [texts(await request) for request in (urgent, late)] == [["A"]] * 2
    assert len(station.calls) == 2


async def test_shared_work_runs_in_the_context_it_was_given() -> None:
    """A server that ties cancellation to a request's context can keep shared work out of it."""
    request_id = contextvars.ContextVar("request_id", default="none")
    seen = []

    class Observant(FakeStation):
        async def translate(self, segments: list[Segment]) -> list[Outcome]:
            seen.append(request_id.get())
            return await super().translate(segments)

    request_id.set("of the request")
    await ReadThroughCache(FakeStore(), Observant(), REVISION).translate([segment("a")])
    await ReadThroughCache(FakeStore(), Observant(), REVISION, trip_context=contextvars.Context).translate(
        [segment("a")]
    )
    assert seen == ["of the request", "none"]


async def test_clear_forgets_all() -> None:
    """What was kept is translated anew."""
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
