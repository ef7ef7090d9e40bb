"""The reference engine: static batches through `transformers`' own `generate`, in one thread.

A batch is whatever waits with equal decoding settings; it is decoded to its end before the next begins. Other
engines are measured against this one's outputs. Knows no adapters.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path

import torch
from transformers import M2M100ForConditionalGeneration

from pipelines.engine.checkpoint import Checkpoint
from pipelines.engine.generation import Generator, shared_settings
from pipelines.engine.length import LengthBound
from pipelines.engine.tokenize import PREFIX_LENGTH, SegmentTokenizer
from pipelines.errors import (
    DeadlineExceededError,
    EngineError,
    StartupError,
    UnavailableError,
    UnsupportedOptionError,
)
from pipelines.protocols import EncodedSegment, EngineStats
from pipelines.types import Failure, LoadedAdapter, ModelInfo, Outcome, Segment, Translation

_LOGGER = logging.getLogger(__name__)


class TransformersEngine:
    """Implements `Engine`.

    Args:
        translate: Decodes one batch of rows with equal settings, and calls its second argument after each step; called
            from the engine's thread alone.
        tokenizer: Of the same checkpoint.
        info: What is loaded.
        max_rows: See `Engine.max_rows`.
    """

    def __init__(
        self,
        translate: Callable[[Sequence[EncodedSegment], Callable[[], None]], list[Translation]],
        tokenizer: SegmentTokenizer,
        info: ModelInfo,
        max_rows: int,
    ) -> None:
        self._translate = translate
        self._tokenizer = tokenizer
        self._info = info
        self._max_rows = max_rows
        self._changed = threading.Condition()
        self._waiting: list[tuple[EncodedSegment, Future[Outcome]]] = []
        self._num_executing = 0
        self._num_steps = 0
        self._num_row_steps = 0
        self._step_began_s: float | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="nllb-transformers-engine", daemon=True)
        self._thread.start()

    @classmethod
    def from_checkpoint(
        cls,
        checkpoint: Checkpoint,
        *,
        device: torch.device,
        dtype: torch.dtype,
        max_rows: int,
        max_length_ratio: float,
        max_length_extra_tokens: int,
    ) -> TransformersEngine:
        """Load a checkpoint.

        Raises:
            StartupError: It cannot be read.
        """
        tokenizer = SegmentTokenizer.from_checkpoint(checkpoint.path)
        try:
            model, report = M2M100ForConditionalGeneration.from_pretrained(
                checkpoint.path, dtype=dtype, weights_only=True, output_loading_info=True
            )
        except Exception as error:  # a damaged file raises whatever its reader raises
            raise StartupError(
                f"the weights in {checkpoint.path} cannot be read: {error}", field="model.name"
            ) from error
        missing = sorted(report["missing_keys"])  # would be left at random
        if missing:
            raise StartupError(
                f"the weights in {checkpoint.path} lack {len(missing)} tensors, such as {missing[0]}",
                field="model.name",
            )
        model.to(device)
        bound = LengthBound(
            max_length_ratio, max_length_extra_tokens, model.config.max_position_embeddings - PREFIX_LENGTH
        )
        info = ModelInfo(
            name=checkpoint.name,
            revision=checkpoint.revision,
            licence=checkpoint.licence,
            engine="transformers",
            device=str(device),
            dtype=str(dtype).removeprefix("torch."),
            max_source_tokens=tokenizer.max_source_tokens,
            num_parameters=model.num_parameters(),
            languages=tokenizer.languages,
        )
        return cls(Generator(model, tokenizer, bound).translate, tokenizer, info, max_rows)

    @property
    def info(self) -> ModelInfo:
        """See `Engine.info`."""
        return self._info

    @property
    def max_rows(self) -> int:
        """See `Engine.max_rows`."""
        return self._max_rows

    def encode(self, segments: Sequence[Segment]) -> list[EncodedSegment | Failure]:
        """See `Engine.encode`."""
        return self._tokenizer.encode(segments)

    def submit(self, rows: Sequence[EncodedSegment]) -> list[Future[Outcome]]:
        """See `Engine.submit`. A row with an adapter or a prefix is a `Failure(UnsupportedOptionError)`."""
        futures: list[Future[Outcome]] = [Future() for _ in rows]
        with self._changed:
            for row, future in zip(rows, futures, strict=True):
                if self._closed:
                    future.set_result(_closed())
                elif row.segment.adapter is not None:
                    future.set_result(Failure(_no_adapters()))
                elif row.segment.decoding.target_prefix:
                    future.set_result(Failure(_no_prefixes()))
                else:
                    self._waiting.append((row, future))
            self._changed.notify()
        return futures

    def room(self) -> int:
        """See `Engine.room`; none while a batch is decoded."""
        with self._changed:
            if self._num_executing or self._closed:
                return 0
            return max(0, self._max_rows - self._num_waiting_rows())

    def stats(self) -> EngineStats:
        """See `Engine.stats`. A row counts in all steps of its batch, and a batch that is halved counts as a whole."""
        with self._changed:
            return EngineStats(
                num_steps=self._num_steps,
                num_row_steps=self._num_row_steps,
                num_rows=self._num_executing + self._num_waiting_rows(),
                step_s=0.0 if self._step_began_s is None else time.monotonic() - self._step_began_s,
            )

    def load_adapter(self, version: str, folder: Path) -> LoadedAdapter:
        """Refuse: see `submit`.

        Raises:
            UnsupportedOptionError: Always.
        """
        raise _no_adapters()

    def unload_adapter(self, version: str) -> bool:
        """See `Engine.unload_adapter`; none is ever loaded."""
        return True

    def adapters(self) -> dict[str, LoadedAdapter]:
        """See `Engine.adapters`; always empty."""
        return {}

    def close(self) -> None:
        """See `Engine.close`. The batch that is being decoded is finished first."""
        with self._changed:
            self._closed = True
            waiting, self._waiting = self._waiting, []
            self._changed.notify()
        for _, future in waiting:
            if future.set_running_or_notify_cancel():
                future.set_result(_closed())
        self._thread.join()

    def _run(self) -> None:
        while batch := self._next_batch():
            outcomes = self._translate_in_time([row for row, _ in batch])
            with self._changed:
                self._num_executing = 0
                self._step_began_s = None
            for (_, future), outcome in zip(batch, outcomes, strict=True):
                future.set_result(outcome)

    def _next_batch(self) -> list[tuple[EncodedSegment, Future[Outcome]]]:
        """Wait for rows; take the oldest and those that can be decoded with it. Empty once closed."""
        with self._changed:
            batch: list[tuple[EncodedSegment, Future[Outcome]]] = []
            while not batch:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return []
                batch = self._take_alike()
            self._num_executing = sum(row.segment.decoding.num_beams for row, _ in batch)
            self._step_began_s = time.monotonic()
            return batch

    def _take_alike(self) -> list[tuple[EncodedSegment, Future[Outcome]]]:
        """Take the oldest and those that can be decoded with it; none if they were all cancelled."""
        settings = shared_settings(self._waiting[0][0])
        free = max(1, self._max_rows // settings.num_beams)
        batch: list[tuple[EncodedSegment, Future[Outcome]]] = []
        others: list[tuple[EncodedSegment, Future[Outcome]]] = []
        for row, future in self._waiting:
            if len(batch) == free or shared_settings(row) != settings:
                others.append((row, future))
            elif future.set_running_or_notify_cancel():
                batch.append((row, future))
        self._waiting = others
        return batch

    def _num_waiting_rows(self) -> int:
        return sum(row.segment.decoding.num_beams for row, future in self._waiting if not future.cancelled())

    def _count_step(self) -> None:
        with self._changed:
            self._num_steps += 1
            self._num_row_steps += self._num_executing
            self._step_began_s = time.monotonic()

    def _translate_in_time(self, rows: Sequence[EncodedSegment]) -> list[Outcome]:
        now_s = time.monotonic()
        deadlines = [row.segment.deadline_s for row in rows]
        is_late = [deadline is not None and deadline <= now_s for deadline in deadlines]
        outcomes = iter(self._translate_each([row for row, late in zip(rows, is_late, strict=True) if not late]))
        return [_too_late() if late else next(outcomes) for late in is_late]

    def _translate_each(self, rows: Sequence[EncodedSegment]) -> list[Outcome]:
        """Halve a failing batch until the row at fault is alone, or until the halves fit into memory."""
        if not rows:
            return []
        try:
            return list(self._translate(rows, self._count_step))
        except Exception:
            if len(rows) == 1:
                _LOGGER.exception("a segment failed", extra={"num_source_tokens": rows[0].num_tokens})
                return [Failure(EngineError("the model failed on this segment"))]
            _LOGGER.warning("a batch failed and is halved", extra={"num_rows": len(rows)}, exc_info=True)
        middle = len(rows) // 2
        return self._translate_each(rows[:middle]) + self._translate_each(rows[middle:])


def _closed() -> Failure:
    return Failure(UnavailableError("the engine is closed"))


def _too_late() -> Failure:
    return Failure(DeadlineExceededError("the segment's turn came after its deadline"))


def _no_prefixes() -> UnsupportedOptionError:
    return UnsupportedOptionError(
        "target_prefix needs model.engine = 'inflight', not 'transformers'", field="target_prefix"
    )


def _no_adapters() -> UnsupportedOptionError:
    return UnsupportedOptionError("adapters need model.engine = 'inflight', not 'transformers'", field="adapter")
