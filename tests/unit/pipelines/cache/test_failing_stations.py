"""A station behind the cache that fails as a whole."""

from __future__ import annotations

import asyncio
import logging

import pytest

from pipelines.cache.codec import encode
from pipelines.cache.key import segment_key
from pipelines.cache.read_through import ReadThroughCache
from pipelines.errors import OverloadedError, TranslationError, UnavailableError
from pipelines.types import Outcome, Segment, Translation
from tests.unit.pipelines.cache.asking import REVISION, error_of, segment, started, texts
from tests.unit.pipelines.cache.fakes import FakeStation, FakeStore


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
