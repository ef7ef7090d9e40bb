"""Work that asks the model several times, written top-down, and run so that all of it asks together.

A procedure is a generator that yields the segments it wants translated and receives their outcomes. Many procedures run
side by side in rounds: what they ask for in one round is one call of the station. Knows nothing of what is asked.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TypeVar

from pipelines.errors import EngineError
from pipelines.protocols import SegmentTranslator
from pipelines.types import Failure, Outcome, Segment

T = TypeVar("T")
Steps = Generator[list[Segment], list[Outcome], T]
"""Yields segments, receives one outcome for each, in order; returns what came of it."""


async def run(procedure: Steps[T], station: SegmentTranslator) -> T:
    """Answer what a procedure asks for until it returns.

    Raises:
        UnavailableError: The station as a whole cannot be reached.
    """
    try:
        asked = next(procedure)
        while True:
            asked = procedure.send(await _ask(station, asked))
    except StopIteration as done:
        result: T = done.value
        return result


def side_by_side(procedures: Sequence[Steps[T]]) -> Steps[list[T]]:
    """Run procedures in rounds; return their results in order."""
    results: dict[int, T] = {}
    asked: dict[int, list[Segment]] = {}
    for place, procedure in enumerate(procedures):
        try:
            asked[place] = next(procedure)
        except StopIteration as done:
            results[place] = done.value
    while asked:
        outcomes = iter((yield [segment for segments in asked.values() for segment in segments]))
        waiting, asked = asked, {}
        for place, segments in waiting.items():
            try:
                asked[place] = procedures[place].send([next(outcomes) for _ in segments])
            except StopIteration as done:
                results[place] = done.value
    return [results[place] for place in range(len(procedures))]


async def _ask(station: SegmentTranslator, segments: list[Segment]) -> list[Outcome]:
    if not segments:
        return []
    outcomes = await station.translate(segments)
    if len(outcomes) != len(segments):
        error = EngineError(f"{len(segments)} segments were sent and {len(outcomes)} came back")
        return [Failure(error) for _ in segments]
    return outcomes
