"""A refusal is repeated for as long as it holds, and no longer."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Awaitable, Callable

import pytest

from pipelines.admission import Backlog
from pipelines.errors import EngineError, Full, OverloadedError, TranslationError, UnavailableError
from pipelines.protocols import EncodedSegment
from pipelines.refusals import Refusals
from pipelines.types import Failure, Outcome, Segment, Translation
from tests.unit.pipelines.cache.fakes import Clock

_WORK_S = 0.2
_FULL_S = 0.5


class Replicas:
    """A station whose calls go to one replica after the other.

    Args:
        full: Whether each is.
    """

    def __init__(self, **full: bool) -> None:
        self.full = full
        self.num_calls = 0

    async def translate(self, segments: list[Segment]) -> list[Outcome]:
        """Refuse, or return the sources."""
        name = list(self.full)[self.num_calls % len(self.full)]
        self.num_calls += 1
        if self.full[name]:
            refusal = OverloadedError("full", retry_after_s=2.0, full=Full(name, _FULL_S, _WORK_S))
            return [Failure(refusal) for _ in segments]
        return [Translation(segment.text) for segment in segments]

    async def count(self) -> int:
        """Return how many there are."""
        return len(self.full)


def _call(priority: int = 0, deadline_s: float | None = 30.0) -> list[Segment]:
    return [Segment("Hello.", "eng_Latn", "spa_Latn", priority=priority, deadline_s=deadline_s)]


async def _refused(refusals: Refusals, call: list[Segment] | None = None) -> OverloadedError | None:
    (outcome,) = await refusals.translate(call or _call())
    await asyncio.sleep(0)  # replicas are counted meanwhile
    if isinstance(outcome, Failure):
        assert isinstance(outcome.error, OverloadedError)
        return outcome.error
    return None


async def test_who_is_full_is_not_asked_again_while_it_is() -> None:
    """The first call finds out, the next ones are refused here, and then it is asked again."""
    clock, station = Clock(), Replicas(a=True)
    refusals = Refusals(station, station.count, clock)
    assert all([await _refused(refusals) for _ in range(5)])
    assert station.num_calls == 1
    clock.now_s += _FULL_S
    station.full["a"] = False
    assert await _refused(refusals) is None
    assert station.num_calls == 2


async def test_a_replica_that_has_not_refused_may_have_room() -> None:
    """Of two replicas one is full: everything is passed on, until the other is full as well."""
    clock, station = Clock(), Replicas(a=True, b=False)
    refusals = Refusals(station, station.count, clock)
    assert [await _refused(refusals) is None for _ in range(4)] == [False, True, False, True]
    station.full["b"] = True
    for _ in range(4):
        assert await _refused(refusals)
    assert station.num_calls == 6


async def test_what_goes_before_the_refused_and_what_has_no_deadline_is_passed_on() -> None:
    """A refusal is about calls that are as urgent or less, and have an end."""
    clock, station = Clock(), Replicas(a=True)
    refusals = Refusals(station, station.count, clock)
    await _refused(refusals, _call(priority=1))
    await _refused(refusals, _call(priority=1))
    assert station.num_calls == 1
    await _refused(refusals, _call(priority=0))
    await _refused(refusals, _call(deadline_s=None))
    assert station.num_calls == 3


async def test_the_least_urgent_segment_and_the_one_without_an_end_speak_for_a_call() -> None:
    """Beside an urgent segment one that can wait is refused; with one that has no deadline all are passed on."""
    clock, station = Clock(), Replicas(a=True)
    refusals = Refusals(station, station.count, clock)
    await _refused(refusals, _call(priority=1))
    await refusals.translate([*_call(priority=0), *_call(priority=1)])
    assert station.num_calls == 1
    await refusals.translate([*_call(priority=1), *_call(priority=1, deadline_s=None)])
    assert station.num_calls == 2


@pytest.mark.parametrize("error", [EngineError("the model failed"), OverloadedError("too long by itself")])
async def test_failures_that_say_nothing_of_others_are_passed_on(error: TranslationError) -> None:
    """One call failed, or did not fit: the next one is asked for all the same."""

    class Failing:
        num_calls = 0

        async def translate(self, segments: list[Segment]) -> list[Outcome]:
            self.num_calls += 1
            return [Failure(error) for _ in segments]

    station = Failing()
    refusals = Refusals(station, Replicas(a=True).count, Clock())
    for _ in range(2):
        assert await refusals.translate(_call()) == [Failure(error)]
        await asyncio.sleep(0)
    assert station.num_calls == 2


async def test_refused_callers_come_back_one_after_the_other() -> None:
    """As fast as what they ask for can be done, behind the one that was refused first."""
    clock, station = Clock(), Replicas(a=True)
    refusals = Refusals(station, station.count, clock)
    returns_s = []
    for _ in range(4):
        refusal = await _refused(refusals)
        assert refusal is not None
        returns_s.append(refusal.retry_after_s)
    assert returns_s == pytest.approx([2.0, 2.0, 2.2, 2.4])


async def _fail() -> int:
    raise UnavailableError("no controller")


async def _find_none() -> int:
    return 0


@pytest.mark.parametrize("count", [_fail, _find_none])
async def test_replicas_that_cannot_be_counted_are_all_asked(count: Callable[[], Awaitable[int]]) -> None:
    """Nobody knows then whether there is one with room; when all are being replaced, none is counted."""
    station = Replicas(a=True)
    refusals = Refusals(station, count, Clock())
    for _ in range(3):
        await _refused(refusals)
    assert station.num_calls == 3


def test_a_backlog_says_how_long_it_is_full() -> None:
    """At 100 tokens a second, behind 100: a call with a second has no room for 0.22 s, and then a fiftieth to spare."""
    clock = Clock()
    backlog = Backlog(clock_s=clock, tokens_per_s=100.0)
    ahead, call = _row(50), _row(5)
    with (
        backlog.promise([ahead], priority=0, deadline_s=None),
        pytest.raises(OverloadedError) as refusal,
        backlog.promise([call], priority=0, deadline_s=clock.now_s + 1.0),
    ):
        pass
    arrived = pickle.loads(pickle.dumps(refusal.value))
    assert arrived.full.for_s == pytest.approx(1.0 - 0.98 * 1.0 / 1.25)
    assert arrived.full.work_s == pytest.approx(0.1)
    assert arrived.retry_after_s == refusal.value.retry_after_s


def test_a_call_that_is_too_long_itself_says_nothing_of_others() -> None:
    """It does not fit where a shorter one does."""
    clock = Clock()
    backlog = Backlog(clock_s=clock, tokens_per_s=100.0)
    with (
        backlog.promise([_row(5)], priority=0, deadline_s=None),
        pytest.raises(OverloadedError) as refusal,
        backlog.promise([_row(100)], priority=0, deadline_s=clock.now_s + 1.0),
    ):
        pass
    assert refusal.value.full is None


def _row(num_tokens: int) -> EncodedSegment:
    return EncodedSegment(Segment("x" * num_tokens, "eng_Latn", "spa_Latn"), (1,) * num_tokens)
