"""Requests that share a translation and have different deadlines."""

from __future__ import annotations

from pipelines.cache.read_through import ReadThroughCache
from pipelines.errors import DeadlineExceededError, UnavailableError
from pipelines.types import Failure, Translation
from tests.unit.pipelines.cache.asking import REVISION, error_of, segment, started, texts
from tests.unit.pipelines.cache.fakes import Clock, FakeStation, FakeStore


def late_before(limit_unix_s: float) -> FakeStation:
    """A station that is too late for every deadline before the limit."""
    return FakeStation(
        lambda s: (
            Failure(DeadlineExceededError("late"))
            if s.deadline_s is not None and s.deadline_s < limit_unix_s
            else Translation(text=s.text.upper())
        )
    )


async def test_the_deadline_of_another_request_is_not_mine() -> None:
    """Followers with more time than a leader that ran out of it are tried again, each with time enough of its own."""
    station = late_before(20)
    cache = ReadThroughCache(FakeStore(), station, REVISION, clock_s=Clock())
    station.released.clear()
    leader = await started(cache.translate([segment("a", deadline_s=10), segment("b", deadline_s=10)]))
    still_late = await started(cache.translate([segment("a", deadline_s=15)]))
    in_time = [
        await started(cache.translate([segment("b"), segment("a", deadline_s=deadline)])) for deadline in (30, 25)
    ]
    station.released.set()
    assert [error_of(outcome).code for outcome in await leader] == ["deadline_exceeded"] * 2
    assert [error_of(outcome).code for outcome in await still_late] == ["deadline_exceeded"]
    assert [texts(await follower) for follower in in_time] == [["B", "A"]] * 2
    assert [[(s.text, s.deadline_s) for s in call] for call in station.calls] == [
        [("a", 10), ("b", 10)],
        [("a", 15)],
        [("b", None), ("a", 30)],
    ]


async def test_what_could_not_be_reached_until_the_deadline_of_another_request_is_tried_again() -> None:
    """The leader's tries ended with its time; a follower with more of it has tries of its own, and one without not."""
    restarting = Failure(UnavailableError("restarting"))
    station = FakeStation(lambda s: restarting if s.deadline_s == 10 else Translation(text=s.text.upper()))
    cache = ReadThroughCache(FakeStore(), station, REVISION, clock_s=Clock())
    station.released.clear()
    leader = await started(cache.translate([segment("a", deadline_s=10)]))
    with_more, with_as_much = [
        await started(cache.translate([segment("a", deadline_s=deadline)])) for deadline in (30, 10)
    ]
    station.released.set()
    assert [await leader, await with_as_much] == [[restarting]] * 2
    assert texts(await with_more) == ["A"]
    assert len(station.calls) == 2


async def test_a_follower_whose_own_time_is_over_is_not_tried_again() -> None:
    """What nobody waits for any more is not passed on."""
    station, clock = late_before(20), Clock()
    cache = ReadThroughCache(FakeStore(), station, REVISION, clock_s=clock)
    station.released.clear()
    leader = await started(cache.translate([segment("a", deadline_s=10)]))
    follower = await started(cache.translate([segment("a", deadline_s=15)]))
    clock.now_s = 15
    station.released.set()
    for request in (leader, follower):
        assert [error_of(outcome).code for outcome in await request] == ["deadline_exceeded"]
    assert len(station.calls) == 1


async def test_equal_segments_of_one_request_may_have_different_deadlines() -> None:
    """The one with more time does not share the fate of the other."""
    station = late_before(20)
    cache = ReadThroughCache(FakeStore(), station, REVISION, clock_s=Clock())
    outcomes = await cache.translate([segment("a", deadline_s=10), segment("a", deadline_s=30)])
    assert isinstance(error_of(outcomes[0]), DeadlineExceededError)
    assert texts(outcomes[1:]) == ["A"]


async def test_an_own_deadline_that_fails_is_final() -> None:
    """A station that refuses what it cannot do in time is not asked twice."""
    station = late_before(20)
    cache = ReadThroughCache(FakeStore(), station, REVISION, clock_s=Clock())
    (outcome,) = await cache.translate([segment("a", deadline_s=10)])
    assert isinstance(error_of(outcome), DeadlineExceededError)
    assert len(station.calls) == 1


async def test_a_follower_with_less_time_than_its_leader_does_not_wait_longer() -> None:
    """At its own deadline it fails, and the leader is none the worse for it."""
    station, clock = FakeStation(), Clock()
    cache = ReadThroughCache(FakeStore(), station, REVISION, clock_s=clock)
    station.released.clear()
    leader = await started(cache.translate([segment("a")]))
    clock.now_s = 10
    (outcome,) = await cache.translate([segment("a", deadline_s=10)])
    assert isinstance(error_of(outcome), DeadlineExceededError)
    station.released.set()
    assert texts(await leader) == ["A"]
