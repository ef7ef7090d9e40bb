"""Work that asks the model several times, written top-down, and run so that all of it asks together.

A procedure is a generator that yields the segments it wants translated and receives their outcomes. Many procedures run
side by side in rounds: what they ask for in one round is one call of the station. Knows nothing of what is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from pipelines.errors import EngineError, TranslationError
from pipelines.protocols import SegmentTranslator
from pipelines.types import Failure, Outcome, Segment

T = TypeVar("T")
Steps = Generator[list[Segment], list[Outcome], T]
"""Yields segments, receives one outcome for each, in order; returns what came of it."""


async def run(procedure: Steps[T], station: SegmentTranslator, *, in_thread: bool = False) -> T:
    """Answer what a procedure asks for until it returns; what fails in a later round costs nothing of an earlier one.

    Args:
        procedure: What to run.
        station: Answers it.
        in_thread: For much work, which would hold up the event loop: the procedure itself runs in a thread.

    Raises:
        UnavailableError: The station as a whole cannot be reached in the first round.
    """
    ask, outcomes = _ask, None
    while True:
        step = await asyncio.to_thread(_advance, procedure, outcomes) if in_thread else _advance(procedure, outcomes)
        if isinstance(step, _Returned):
            return step.result
        outcomes = await ask(station, step)
        ask = _ask_again


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


@dataclass(frozen=True, slots=True)
class _Returned(Generic[T]):
    """The end of a procedure, as a value: no `StopIteration` comes out of a thread."""

    result: T


def _advance(procedure: Steps[T], outcomes: list[Outcome] | None) -> list[Segment] | _Returned[T]:
    try:
        return next(procedure) if outcomes is None else procedure.send(outcomes)
    except StopIteration as done:
        return _Returned(done.value)


async def _ask_again(station: SegmentTranslator, segments: list[Segment]) -> list[Outcome]:
    try:
        return await _ask(station, segments)
    except TranslationError as error:
        return [Failure(error) for _ in segments]


async def _ask(station: SegmentTranslator, segments: list[Segment]) -> list[Outcome]:
    if not segments:
        return []
    outcomes = await station.translate(segments)
    if len(outcomes) != len(segments):
        error = EngineError(f"{len(segments)} segments were sent and {len(outcomes)} came back")
        return [Failure(error) for _ in segments]
    return outcomes
