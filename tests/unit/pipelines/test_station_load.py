"""What a station takes on: the deadline and the priority of a whole call, and how fast it has proved to be."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pipelines.errors import OverloadedError
from pipelines.station import EngineStation
from pipelines.types import Failure, Segment
from tests.fakes import ManualEngine
from tests.unit.pipelines.cache.fakes import Clock


def _segment(text: str, **more: Any) -> Segment:
    return Segment(text, "eng_Latn", "spa_Latn", **more)


async def _until(condition: object) -> None:
    async with asyncio.timeout(10):
        # Threads of the event loop's executor make it true.
        while not condition():  # type: ignore[operator]  # noqa: ASYNC110
            await asyncio.sleep(0.001)


@pytest.mark.parametrize(
    "call",
    [
        ({"priority": 1, "deadline_s": 10.0}, {"priority": 1, "deadline_s": 1e6}),
        ({"priority": 1, "deadline_s": 10.0}, {"priority": 1}),
        ({"priority": 0, "deadline_s": 10.0}, {"priority": 1, "deadline_s": 10.0}),
    ],
)
async def test_a_call_is_as_hurried_and_as_urgent_as_its_worst_segment(call: tuple[dict[str, Any], ...]) -> None:
    """Behind 40 s of work it is refused for the earliest deadline, and by the priority of what can wait."""
    engine, clock = ManualEngine(max_rows=1), Clock()
    station = EngineStation(engine, tokens_per_s=1.0, clock_s=clock)
    ahead = asyncio.create_task(station.translate([_segment("x" * 20, priority=1)]))
    await _until(lambda: engine.rows)
    async with asyncio.timeout(10):
        outcomes = await station.translate([_segment("a", **more) for more in call])
    assert [type(each.error) for each in outcomes if isinstance(each, Failure)] == [OverloadedError] * 2
    engine.finish(1)
    await ahead


@pytest.mark.parametrize(("max_rows", "tokens_per_s"), [(1, 2.0), (3, None)])
async def test_speed_is_measured_while_others_wait(max_rows: int, tokens_per_s: float | None) -> None:
    """A row of two tokens a second, one after the other; with a place for each nobody knows what it could do."""
    engine, clock = ManualEngine(max_rows), Clock()
    station = EngineStation(engine, clock_s=clock)
    tasks = []
    for text in "abc":
        tasks.append(asyncio.create_task(station.translate([_segment(text)])))
        await _until(lambda: len(engine.rows) + station.num_waiting == len(tasks))
    for task in tasks:
        await _until(lambda: engine.rows)
        clock.now_s += 1.0
        engine.finish(1)
        await task
    assert station.backlog.tokens_per_s == tokens_per_s
