"""Admission: batches form while the engine is busy, and nobody waits for nothing."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Future

from pipelines.errors import DeadlineExceededError, OverloadedError
from pipelines.protocols import EncodedSegment
from pipelines.station import EngineStation, TurnBatcher
from pipelines.types import Failure, Outcome, Segment, Translation
from tests.fakes import ManualEngine


def _segments(*texts: str, **more: object) -> list[Segment]:
    return [Segment(text, "eng_Latn", "spa_Latn", **more) for text in texts]  # type: ignore[arg-type]


async def _until(condition: object) -> None:
    async with asyncio.timeout(10):
        # Threads of the event loop's executor make it true.
        while not condition():  # type: ignore[operator]  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def test_segments_of_one_call_form_one_batch() -> None:
    """Four segments, four free rows, one encoder batch; outcomes in order."""
    engine = ManualEngine(max_rows=4)
    station = EngineStation(engine)
    task = asyncio.create_task(station.translate(_segments("a", "b", "c", "d")))
    await _until(lambda: engine.rows)
    engine.finish(4)
    assert await task == [Translation(text) for text in "ABCD"]
    assert engine.batches == [["a", "b", "c", "d"]]


async def test_callers_collect_while_the_engine_is_full() -> None:
    """Requests that arrive one by one while all rows are taken are admitted together when rows are free."""
    engine = ManualEngine(max_rows=3)
    station = EngineStation(engine)
    tasks = [asyncio.create_task(station.translate(_segments(text))) for text in "abcdef"]
    await _until(lambda: len(engine.rows) == 3 and station.num_waiting == 3)
    engine.finish(3)
    await _until(lambda: len(engine.rows) == 3)
    engine.finish(3)
    assert [(await task)[0].text for task in tasks] == list("ABCDEF")  # type: ignore[union-attr]
    assert len(engine.batches) <= 4
    assert len(engine.batches[-1]) == 3


async def test_translations_say_which_model_made_them() -> None:
    """A cache keeps those of its own model alone; what failed was made by none."""
    engine = ManualEngine(max_rows=4)
    station = EngineStation(engine, model_revision="0f3a")
    task = asyncio.create_task(station.translate(_segments("a")))
    await _until(lambda: engine.rows)
    engine.finish(1)
    (outcome,) = await task
    assert isinstance(outcome, Translation)
    assert outcome.model_revision == "0f3a"


async def test_priority_then_deadline_then_arrival() -> None:
    """Who waits is let in by priority, then by the earlier deadline."""
    engine = ManualEngine(max_rows=1)
    station = EngineStation(engine)
    tasks = [asyncio.create_task(station.translate(_segments("first")))]
    await _until(lambda: engine.rows)
    late = 4e9
    for text, more in {
        "bulk": {"priority": 5, "deadline_s": late - 2},
        "late": {"deadline_s": late},
        "soon": {"deadline_s": late - 1},
    }.items():
        tasks.append(asyncio.create_task(station.translate(_segments(text, **more))))
        await _until(lambda: station.num_waiting == len(tasks) - 1)
    for _ in tasks:
        await _until(lambda: engine.rows)
        engine.finish(1)
    await asyncio.gather(*tasks)
    assert engine.batches == [["first"], ["soon"], ["late"], ["bulk"]]


async def test_a_past_deadline_is_a_failure_and_gives_its_row_back() -> None:
    """The caller is answered and the engine is told to drop the row."""
    engine = ManualEngine()
    (outcome,) = await EngineStation(engine).translate(_segments("a", deadline_s=1.0))
    assert isinstance(outcome, Failure)
    assert isinstance(outcome.error, DeadlineExceededError)


async def test_a_cancelled_caller_leaves_the_queue_and_the_engine() -> None:
    """Rows of a cancelled caller are cancelled in the engine; its place in the queue is free."""
    engine = ManualEngine(max_rows=1)
    station = EngineStation(engine)
    running = asyncio.create_task(station.translate(_segments("a")))
    await _until(lambda: engine.rows)
    waiting = asyncio.create_task(station.translate(_segments("b")))
    await _until(lambda: station.num_waiting == 1)
    waiting.cancel()
    running.cancel()
    await asyncio.gather(waiting, running, return_exceptions=True)
    assert engine.rows[0][1].cancelled()
    assert station.num_waiting == 0
    engine.finish(1)
    after = asyncio.create_task(station.translate(_segments("c")))
    await _until(lambda: engine.rows)
    engine.finish(1)
    assert await after == [Translation("C")]


class RaisingEngine(ManualEngine):
    """An engine with a fault."""

    def submit(self, rows: list[EncodedSegment]) -> list[Future[Outcome]]:
        """Raise."""
        raise ZeroDivisionError


async def test_whoever_was_admitted_to_an_engine_that_raises_is_told() -> None:
    """An engine must not raise; if it does, all callers of that turn get the error instead of waiting for ever."""
    batcher = TurnBatcher(RaisingEngine())
    row = EncodedSegment(_segments("a")[0], (1,))
    raised = await asyncio.gather(*[batcher.admit(row) for _ in range(3)], return_exceptions=True)
    assert [type(error) for error in raised] == [ZeroDivisionError] * 3


async def test_who_is_cancelled_as_its_row_gets_into_the_engine_leaves_none_there() -> None:
    """The engine has the row, and whoever wants it is told of neither: it is taken out again."""
    engine = ManualEngine()
    batcher = TurnBatcher(engine)
    caller = asyncio.ensure_future(batcher.admit(EncodedSegment(_segments("a")[0], (1,))))
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_soon(caller.cancel)  # behind the batch, before the caller
    await asyncio.wait([caller])
    assert caller.cancelled()
    assert [future.cancelled() for _, future in engine.rows] == [True]


async def test_progress_is_what_the_engine_did() -> None:
    """It is the same as long as rows only wait, and changes when one is translated."""
    engine = ManualEngine(max_rows=1)
    station = EngineStation(engine)
    before = station.progress
    tasks = [asyncio.create_task(station.translate(_segments(text))) for text in "ab"]
    await _until(lambda: engine.rows and station.num_waiting == 1)
    assert station.progress == before
    engine.finish(1)
    await tasks[0]
    assert station.progress != before
    await _until(lambda: engine.rows)
    engine.finish(1)
    await tasks[1]


async def test_a_call_that_cannot_be_done_in_time_is_refused_whole_and_at_once() -> None:
    """Behind work that takes longer than its deadline allows, as the warm-up measured it: no row reaches the engine."""
    engine = ManualEngine(max_rows=1)
    station = EngineStation(engine, tokens_per_s=1e-9)
    first = asyncio.create_task(station.translate(_segments("busy")))
    await _until(lambda: engine.rows)
    soon = time.monotonic() + 30
    refused = await station.translate(_segments("one", "two", deadline_s=soon))
    assert [type(outcome.error) for outcome in refused if isinstance(outcome, Failure)] == [OverloadedError] * 2
    assert [each.error.retry_after_s for each in refused if isinstance(each, Failure)] == [60.0] * 2
    assert engine.batches == [["busy"]]
    engine.finish(1)
    assert await first == [Translation("BUSY")]
    assert station.backlog.tokens == 0


async def test_who_is_cancelled_before_its_row_gets_into_the_engine_leaves_none_there() -> None:
    """The row is in the batch that is about to be submitted: it is taken out again at once."""
    engine = ManualEngine()
    caller = asyncio.ensure_future(TurnBatcher(engine).admit(EncodedSegment(_segments("a")[0], (1,))))
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.wait([caller])
    await _until(lambda: engine.rows)
    assert [future.cancelled() for _, future in engine.rows] == [True]
