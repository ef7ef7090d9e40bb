"""Procedures ask together, round by round."""

from __future__ import annotations

from pipelines.errors import EngineError
from pipelines.stages.steps import Steps, run, side_by_side
from pipelines.types import Failure, Outcome, Segment
from tests.fakes import ShoutingStation


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
