"""The in-flight engine for tests: over a tiny checkpoint, or over a running batch that does as it is told."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from pipelines.engine.batch import Finished
from pipelines.engine.checkpoint import locate_checkpoint
from pipelines.engine.inflight import InflightEngine
from pipelines.engine.length import LengthBound
from pipelines.engine.live import Request
from pipelines.engine.lora import Adapter
from pipelines.engine.tokenize import SegmentTokenizer
from pipelines.protocols import EncodedSegment
from pipelines.types import ModelInfo, Outcome, Segment

WAIT_S = 60


def load(folder: Path, **settings: Any) -> InflightEngine:
    """Load the tiny checkpoint."""
    return InflightEngine.from_checkpoint(
        locate_checkpoint(str(folder)), **{"device": torch.device("cpu"), "max_rows": 8, **settings}
    )


def encode(engine: InflightEngine, text: str = "good morning", **settings: Any) -> EncodedSegment:
    """Encode one segment that the engine accepts."""
    pair = {"source_lang": "eng_Latn", "target_lang": "fra_Latn", **settings}
    (row,) = engine.encode([Segment(text, **pair)])
    assert isinstance(row, EncodedSegment)
    return row


def translate(engine: InflightEngine, *rows: EncodedSegment) -> list[Outcome]:
    """Submit rows together and wait for all."""
    return [future.result(WAIT_S) for future in engine.submit(rows)]


def engine_parts(folder: Path) -> dict[str, Any]:
    """Return what an engine is made of, but for its batch."""
    info = ModelInfo("tiny", "1", "unknown", "inflight", "cpu", "float32", 64, 0, ())
    return {
        "tokenizer": SegmentTokenizer.from_checkpoint(folder),
        "info": info,
        "read_adapter": lambda folder: Adapter(4, {}),
        "max_rows": 8,
        "bound": LengthBound(3.0, 32, 60),
    }


class FailingBatch:
    """A running batch that fails while it holds more rows than it can, or a poisonous one."""

    def __init__(self, max_rows: int = 99, poison: int = -1, fails_to_join: bool = False) -> None:
        self.keys: list[int] = []
        self._max_rows = max_rows
        self._poison = poison
        self._fails_to_join = fails_to_join
        self._poisonous: set[int] = set()

    def join(self, requests: list[Request]) -> None:
        """Add requests."""
        bad = {request.key for request in requests if self._poison in request.source}
        if bad and self._fails_to_join:
            raise RuntimeError("poison")
        self._poisonous |= bad
        self.keys += [request.key for request in requests]

    def step(self) -> list[Finished]:
        """Finish all rows without an output, or raise."""
        if len(self.keys) > self._max_rows:
            raise torch.OutOfMemoryError
        if self._poisonous & set(self.keys):
            raise RuntimeError("poison")
        finished = [Finished(key, ()) for key in self.keys]
        self.keys = []
        return finished

    def drop(self, keys: set[int]) -> None:
        """Remove requests."""
        self.keys = [key for key in self.keys if key not in keys]

    def clear(self) -> None:
        """Remove all."""
        self.keys = []


class GatedBatch:
    """A running batch whose rows never end, and whose every step waits until the test lets it through."""

    def __init__(self) -> None:
        self.keys: list[int] = []
        self.gate = threading.Semaphore(0)
        self.steps: queue.Queue[list[int]] = queue.Queue()

    def join(self, requests: Sequence[Request]) -> None:
        """Add requests."""
        self.keys += [request.key for request in requests]

    def step(self) -> list[Finished]:
        """Tell whose rows are decoded, and wait."""
        self.steps.put(list(self.keys))
        self.gate.acquire(timeout=WAIT_S)
        return []

    def drop(self, keys: set[int]) -> None:
        """Remove requests."""
        self.keys = [key for key in self.keys if key not in keys]

    def clear(self) -> None:
        """Remove all."""
        self.keys = []
