"""A lane whose batch does not do as it is told: every row is answered, and none for another one's fault."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from pipelines.engine.batch import Finished
from pipelines.engine.inflight import InflightEngine
from pipelines.engine.lora import Adapter
from pipelines.engine.search import Output
from pipelines.errors import DeadlineExceededError, EngineError, UnavailableError
from pipelines.types import Failure, Outcome, Translation
from tests.unit.pipelines.engine.running import WAIT_S, FailingBatch, GatedBatch, encode, engine_parts, translate


class ClingingBatch(GatedBatch):
    """A gated batch that cannot drop a row that it holds, the first time; it finishes all once it was cleared."""

    def __init__(self) -> None:
        super().__init__()
        self.was_cleared = False

    def step(self) -> list[Finished]:
        """Wait, or finish all."""
        if not self.was_cleared:
            return super().step()
        finished = [Finished(key, ()) for key in self.keys]
        self.keys = []
        return finished

    def drop(self, keys: set[int]) -> None:
        """Fail."""
        if not self.was_cleared and keys & set(self.keys):
            raise torch.OutOfMemoryError
        super().drop(keys)

    def clear(self) -> None:
        """Remove all."""
        self.was_cleared = True
        super().clear()


class BrokenBatch(FailingBatch):
    """A batch on a device that every operation fails on, from the first step on."""

    def step(self) -> list[Finished]:
        """Fail."""
        raise RuntimeError("device-side assert")

    def clear(self) -> None:
        """Fail as well."""
        raise RuntimeError("device-side assert")


class GarbledBatch(FailingBatch):
    """A batch that finishes its third row with an output that has no tokens."""

    def step(self) -> list[Finished]:
        """Finish all."""
        finished = [Finished(key, (Output(() if key == 3 else (5, 6), -1.0, "stop"),)) for key in self.keys]
        self.keys = []
        return finished


def test_a_row_that_cannot_be_dropped_is_answered_and_its_neighbour_goes_on(checkpoint_path: Path) -> None:
    """Its adapter is let go of, and whoever decodes beside it begins again instead of failing in its place."""
    batch: Any = ClingingBatch()
    now = [0.0]
    parts = engine_parts(checkpoint_path) | {"read_adapter": lambda folder: Adapter(4, {})}
    engine = InflightEngine([batch], **parts, clock=lambda: now[0])
    engine.load_adapter("m@1", checkpoint_path)
    late, neighbour = engine.submit([encode(engine, adapter="m@1", deadline_s=1.0), encode(engine)])
    batch.steps.get(timeout=WAIT_S)
    now[0] = 2.0
    batch.gate.release()
    assert isinstance(_error(late.result(WAIT_S)), DeadlineExceededError)
    assert engine.unload_adapter("m@1")
    assert "no usable numbers" in str(_error(neighbour.result(WAIT_S)))  # what the batch finishes all with
    engine.close()
    assert engine.room() == 10


def test_a_lane_that_cannot_go_on_answers_all_there_are_and_all_that_come(checkpoint_path: Path) -> None:
    """Nobody waits for a thread that has ended, and the whole engine refuses, so that its replica is replaced."""
    broken: Any = BrokenBatch()
    sound: Any = GatedBatch()
    engine = InflightEngine([broken, sound], **engine_parts(checkpoint_path))
    first = [future.result(WAIT_S) for future in engine.submit([encode(engine)] * 3)]
    later = translate(engine, encode(engine), encode(engine))
    assert [type(_error(outcome)) for outcome in [*first, *later]] == [UnavailableError] * 5
    assert engine.stats().num_steps == 0
    assert engine.stats().num_rows == 0
    engine.close()


def test_a_stuck_lane_shows_beside_one_that_works(checkpoint_path: Path) -> None:
    """The time of its turn grows, even when nobody waits for its rows any more; between turns there is none."""
    stuck: Any = GatedBatch()
    sound: Any = GatedBatch()
    now = [0.0]
    engine = InflightEngine([stuck, sound], **engine_parts(checkpoint_path), clock=lambda: now[0])
    assert engine.stats().step_s == 0
    (row,) = engine.submit([encode(engine)])
    stuck.steps.get(timeout=WAIT_S)
    assert row.cancel()
    now[0] = 300.0
    assert engine.stats().num_rows == 0
    assert engine.stats().step_s == 300
    stuck.gate.release(100)
    engine.close()
    assert engine.stats().step_s == 0


def test_an_output_that_cannot_be_read_fails_its_row_alone(checkpoint_path: Path) -> None:
    """The others are not decoded again."""
    batch: Any = GarbledBatch()
    engine = InflightEngine([batch], **engine_parts(checkpoint_path))
    outcomes = translate(engine, *[encode(engine)] * 4)
    assert [isinstance(outcome, Translation) for outcome in outcomes] == [True, True, False, True]
    assert isinstance(_error(outcomes[2]), EngineError)
    assert engine.stats().num_steps == 1
    engine.close()


def _error(outcome: Outcome) -> Exception:
    assert isinstance(outcome, Failure)
    return outcome.error
