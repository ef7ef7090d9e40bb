"""Equal segments on their way at the same time: one translation, whoever gives up."""

from __future__ import annotations

import asyncio
import contextvars

import pytest

from pipelines.cache.read_through import ReadThroughCache
from pipelines.types import Outcome, Segment
from tests.unit.pipelines.cache.asking import REVISION, segment, started, texts
from tests.unit.pipelines.cache.fakes import FakeStation, FakeStore


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
