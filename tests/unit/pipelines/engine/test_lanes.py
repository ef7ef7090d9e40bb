"""The in-flight engine on two cores: where rows are decoded, and by how many threads."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines.engine.inflight import InflightEngine, num_lanes
from pipelines.engine.linear import DenseBackend
from pipelines.types import DecodingOptions, Failure, Translation
from tests.unit.pipelines.engine.running import WAIT_S, FailingBatch, GatedBatch, encode, engine_parts, load, translate


@pytest.fixture(autouse=True)
def _two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


class CountingBatch(GatedBatch):
    """A gated batch that tells how many threads its steps may have."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: queue.Queue[int] = queue.Queue()

    def step(self) -> list[Any]:
        """Tell, then wait."""
        self.threads.put(torch.get_num_threads())
        return super().step()


@pytest.mark.parametrize(
    ("kind", "rows_to_spread", "num_threads", "max_rows", "expected"),
    [
        ("cpu", 4, 1, 32, 1),
        ("cpu", 4, 2, 32, 2),
        ("cpu", 4, 2, 16, 1),
        ("cpu", 4, 4, 32, 1),
        ("cpu", 8, 4, 64, 4),
        ("cpu", 16, 2, 32, 1),
        ("cpu", 16, 2, 64, 2),
        ("cuda", 4, 2, 32, 1),
    ],
)
def test_a_lane_has_a_thread_and_rows_enough(
    kind: str, rows_to_spread: int, num_threads: int, max_rows: int, expected: int
) -> None:
    """Lanes are for few cores and many rows; otherwise, all threads work on one batch."""
    backend = DenseBackend(device=torch.device(kind))
    backend.rows_to_spread = rows_to_spread
    assert num_lanes(backend, num_threads, max_rows) == expected


def test_few_rows_share_a_batch_with_all_threads(checkpoint_path: Path) -> None:
    """A single caller is answered as fast as the machine can: one batch, two threads, and nothing beside it."""
    first, second = CountingBatch(), CountingBatch()
    engine = _engine([first, second], checkpoint_path)
    engine.submit([encode(engine)] * 7)
    assert first.steps.get(timeout=WAIT_S) == [1, 2, 3, 4, 5, 6, 7]
    assert first.threads.get() == 2
    assert second.steps.empty()
    _end(engine, first, second)


def test_where_reading_weights_takes_most_of_the_time_more_rows_stay_together(checkpoint_path: Path) -> None:
    """How many rows a lane must have is the number format's to say, but no lane is given more than it has room for."""
    for rows_to_spread, together in ((8, 15), (12, 15), (6, 11)):
        first, second = CountingBatch(), CountingBatch()
        engine = _engine([first, second], checkpoint_path, rows_to_spread=rows_to_spread)
        engine.submit([encode(engine)] * together)
        assert len(first.steps.get(timeout=WAIT_S)) == together
        engine.submit([encode(engine)] * 2)  # one more is few, two are many
        assert second.steps.get(timeout=WAIT_S) == [together + 2]
        _end(engine, first, second)


def test_many_rows_are_spread_with_a_thread_for_each_lane(checkpoint_path: Path) -> None:
    """Rows that are submitted together are split evenly, and each batch is stepped by itself."""
    first, second = CountingBatch(), CountingBatch()
    engine = _engine([first, second], checkpoint_path)
    engine.submit([encode(engine)] * 32)
    assert sorted(len(batch.steps.get(timeout=WAIT_S)) for batch in (first, second)) == [16, 16]
    assert first.threads.get() == second.threads.get() == 1
    first.gate.release()
    assert len(first.steps.get(timeout=WAIT_S)) == 16  # the second one is still in its step
    _end(engine, first, second)


def test_the_first_lane_has_all_threads_again_when_others_are_empty(checkpoint_path: Path) -> None:
    """Threads follow the rows, within a step."""
    first, second = CountingBatch(), CountingBatch()
    engine = _engine([first, second], checkpoint_path)
    futures = engine.submit([encode(engine)] * 10)
    assert [first.threads.get(timeout=WAIT_S), second.threads.get(timeout=WAIT_S)] == [1, 1]
    of_second = second.steps.get(timeout=WAIT_S)
    for future in (futures[key - 1] for key in of_second):
        future.cancel()
    second.gate.release()
    first.gate.release()
    assert first.threads.get(timeout=WAIT_S) == 2
    _end(engine, first, second)


def test_an_error_in_one_lane_is_not_the_others(checkpoint_path: Path) -> None:
    """A batch that is too much is halved in its lane; all rows are answered."""
    batches = [FailingBatch(max_rows=2), FailingBatch()]
    engine = _engine(batches, checkpoint_path)
    outcomes = translate(engine, *[encode(engine)] * 20)
    engine.close()
    messages = [outcome.error.message for outcome in outcomes if isinstance(outcome, Failure)]
    assert len(messages) == 20
    assert all("no usable numbers" in message for message in messages)


def test_rows_in_lanes_equal_the_same_rows_alone(checkpoint_path: Path) -> None:
    """Greedy rows and beams, in whichever lane; and no lane's thread outlives the engine."""
    engine = load(checkpoint_path, max_rows=32)
    texts = ("dog", "the lazy dog jumps over it", "good morning my friend how much is it", "0123", "merci beaucoup")
    settings = (DecodingOptions(), DecodingOptions(num_beams=3), DecodingOptions(max_new_tokens=4))
    rows = [
        encode(engine, text, target_lang=lang, decoding=decoding)
        for text in texts
        for lang in ("fra_Latn", "hin_Deva", "spa_Latn")
        for decoding in settings
    ]
    together = translate(engine, *rows)
    alone = [translate(engine, row)[0] for row in rows]
    engine.close()
    for one, other in zip(together, alone, strict=True):
        assert isinstance(one, Translation)
        assert isinstance(other, Translation)
        assert one.text == other.text
        assert one.score == pytest.approx(other.score, abs=1e-5)
    assert not any(thread.name == "decoding-lane" for thread in threading.enumerate())


def _engine(batches: list[Any], checkpoint_path: Path, **settings: Any) -> InflightEngine:
    return InflightEngine(batches, **{**engine_parts(checkpoint_path), "max_rows": 32, **settings})


def _end(engine: InflightEngine, *batches: GatedBatch) -> None:
    for batch in batches:
        batch.gate.release(10_000)
    engine.close()
