"""Procedures ask together, round by round."""

from __future__ import annotations

import threading

import pytest

from pipelines.errors import EngineError, UnavailableError
from pipelines.stages.steps import Steps, run, side_by_side
from pipelines.types import Failure, Outcome, Segment, Translation
from tests.fakes import ShoutingStation, UnreachableStation


def _ask(*texts: str) -> Steps[list[str]]:
    """Ask for each text in a round of its own."""
    answers = []
    for text in texts:
        (outcome,) = yield [Segment(text, "eng_Latn", "spa_Latn")]
        assert not isinstance(outcome, Failure)
        answers.append(outcome.text)
    return answers


async def test_what_is_asked_in_one_round_is_one_call() -> None:
    """Three procedures of two, no and one question: two calls, results in order."""
    station = ShoutingStation()
    results = await run(side_by_side([_ask("a", "b"), _ask(), _ask("c")]), station)
    assert results == [["A", "B"], [], ["C"]]
    assert [[segment.text for segment in call] for call in station.calls] == [["a", "c"], ["b"]]


async def test_nothing_asked_is_no_call() -> None:
    """Procedures that need nothing cost no hop."""
    station = ShoutingStation()
    assert await run(side_by_side([_ask(), _ask()]), station) == [[], []]
    assert station.calls == []


class _LostStation(ShoutingStation):
    """Cannot be reached any more, after its first call."""

    async def translate(self, segments: list[Segment]) -> list[Outcome]:
        if self.calls:
            raise UnavailableError("a part of the service is restarting")
        return await super().translate(segments)


async def test_a_later_round_that_fails_costs_nothing_of_an_earlier_one() -> None:
    """Who asks a second time is given a failure; who asked once has its result."""

    def ask_twice() -> Steps[tuple[Outcome, Outcome]]:
        (first,) = yield [Segment("a", "eng_Latn", "spa_Latn")]
        (second,) = yield [Segment("b", "eng_Latn", "spa_Latn")]
        return first, second

    first, second = await run(ask_twice(), _LostStation())
    assert first == Translation("A")
    assert isinstance(second, Failure)
    assert isinstance(second.error, UnavailableError)


async def test_a_station_that_cannot_be_reached_at_first_is_an_error() -> None:
    """Then there is nothing yet that it could cost."""
    with pytest.raises(UnavailableError):
        await run(_ask("a"), UnreachableStation())


async def test_much_work_runs_in_a_thread() -> None:
    """The event loop is free meanwhile; the station is asked where it always is."""
    threads = []

    def ask() -> Steps[Outcome]:
        threads.append(threading.current_thread())
        (outcome,) = yield [Segment("a", "eng_Latn", "spa_Latn")]
        threads.append(threading.current_thread())
        return outcome

    assert await run(ask(), ShoutingStation(), in_thread=True) == Translation("A")
    assert threading.current_thread() not in threads
    assert len(threads) == 2


class _ForgetfulStation:
    async def translate(self, segments: list[Segment]) -> list[Outcome]:
        return []


async def test_missing_outcomes_are_failures() -> None:
    """A station that answers fewer segments than it was asked is not believed: nothing is dropped silently."""

    def ask() -> Steps[Outcome]:
        (outcome,) = yield [Segment("a", "eng_Latn", "spa_Latn")]
        return outcome

    outcome = await run(ask(), _ForgetfulStation())
    assert isinstance(outcome, Failure)
    assert isinstance(outcome.error, EngineError)
