"""The project's own engine: one thread that keeps a batch of rows decoding while others join and leave.

Knows the tokenizer, the scheduler and the batch; nothing of Ray, HTTP or event loops.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path

import torch
from transformers import M2M100Config

from pipelines.engine.adapter_weights import read_adapter
from pipelines.engine.batch import Request, RunningBatch
from pipelines.engine.checkpoint import Checkpoint
from pipelines.engine.device import decoding_memory_bytes
from pipelines.engine.length import LengthBound
from pipelines.engine.linear import choose_backend
from pipelines.engine.lora import Adapter
from pipelines.engine.residents import ResidentAdapters
from pipelines.engine.rows import Row, RowDesk
from pipelines.engine.scheduler import Scheduler
from pipelines.engine.shape import ModelShape
from pipelines.engine.state import load_prepared
from pipelines.engine.tokenize import SegmentTokenizer
from pipelines.engine.vocabulary import VocabularyKind, load_vocabulary
from pipelines.engine.weights import assemble
from pipelines.errors import DeadlineExceededError, EngineError, TranslationError, UnavailableError
from pipelines.protocols import EncodedSegment, EngineStats
from pipelines.types import Failure, LoadedAdapter, ModelInfo, Outcome, Segment

_LOGGER = logging.getLogger(__name__)
_PREFIX_LENGTH = 2  # `</s>` and the target language
_SPARES = 4  # one row waits inside for so many that decode; from outside, a row would come a step too late


class InflightEngine:
    """An `Engine` with in-flight batching; see `pipelines.protocols.Engine` for the contract.

    Args:
        batch: What decodes; owned by the engine's thread from here on.
        tokenizer: Of the same checkpoint.
        info: Reported as it is.
        read_adapter: From a folder; called from the threads that load adapters.
        scheduler: Decides who joins; owned by the engine's thread.
        max_rows: Of the batch.
        bound: Of the outputs' lengths.
        clock: Of the deadlines, in seconds.
    """

    def __init__(
        self,
        batch: RunningBatch,
        tokenizer: SegmentTokenizer,
        info: ModelInfo,
        *,
        read_adapter: Callable[[Path], Adapter],
        scheduler: Scheduler,
        max_rows: int,
        bound: LengthBound,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._batch = batch
        self._tokenizer = tokenizer
        self._info = info
        self._read_adapter = read_adapter
        self._adapters: ResidentAdapters[Adapter] = ResidentAdapters()
        self._scheduler = scheduler
        self._max_rows = max_rows
        self._desk = RowDesk(tokenizer, self._adapters, max_rows, bound)
        self._clock = clock
        self._rows: dict[int, Row] = {}  # of the thread
        self._num_steps = 0
        self._num_row_steps = 0
        self._changed = threading.Condition()  # guards what follows
        self._inbox: list[Row] = []
        self._num_rows_inside = 0
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="inflight-engine", daemon=True)
        self._thread.start()

    @classmethod
    def from_checkpoint(
        cls,
        checkpoint: Checkpoint,
        *,
        device: torch.device,
        dtype: str = "auto",
        max_rows: int = 32,
        max_length_ratio: float = 3.0,
        max_length_extra_tokens: int = 32,
        memory_bound_bytes: int | None = None,
        vocabulary: VocabularyKind = "full",
        shortlist_file: str | None = None,
    ) -> InflightEngine:
        """Load a checkpoint.

        Args:
            checkpoint: On disk.
            device: To run on.
            dtype: `int8`, `bfloat16`, `float16`, `float32`; `auto` is float32 on a CPU, a 16-bit format on a GPU.
            max_rows: Of the running batch.
            max_length_ratio: See `LengthBound`.
            max_length_extra_tokens: Likewise.
            memory_bound_bytes: Of the rows' keys and values; None takes a share of what the device has free.
            vocabulary: See `load_vocabulary`.
            shortlist_file: Likewise.

        Raises:
            StartupError: It cannot be read, or not be run like that on this device.
        """
        tokenizer = SegmentTokenizer.from_checkpoint(checkpoint.path)
        shape = ModelShape.from_config(M2M100Config.from_pretrained(checkpoint.path))
        backend = choose_backend(dtype, device)
        stored = load_prepared(checkpoint, shape, backend)
        weights = assemble(stored, shape, backend, scores_all_tokens=vocabulary == "full")
        info = ModelInfo(
            name=checkpoint.name,
            revision=checkpoint.revision,
            licence=checkpoint.licence,
            engine="inflight",
            device=str(device),
            dtype=backend.name,
            max_source_tokens=tokenizer.max_source_tokens,
            num_parameters=shape.num_parameters,
            languages=tokenizer.languages,
        )
        memory_bytes = decoding_memory_bytes(device) if memory_bound_bytes is None else memory_bound_bytes
        return cls(
            RunningBatch(weights, shape, backend.cache_dtype, load_vocabulary(vocabulary, tokenizer, shortlist_file)),
            tokenizer,
            info,
            read_adapter=partial(read_adapter, shape=shape, dtype=backend.compute_dtype, device=device),
            scheduler=Scheduler(
                max_rows, max_cached_tokens=memory_bytes // shape.cached_token_bytes(backend.cache_dtype)
            ),
            max_rows=max_rows,
            bound=LengthBound(max_length_ratio, max_length_extra_tokens, shape.max_positions - _PREFIX_LENGTH),
        )

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
        """See `Engine.submit`. Rows beyond `room()` wait inside the engine."""
        futures: list[Future[Outcome]] = [Future() for _ in rows]
        with self._changed:
            for encoded, future in zip(rows, futures, strict=True):
                try:
                    if self._closing:
                        raise UnavailableError("the engine is closed")
                    row = self._desk.accept(encoded, future)
                except TranslationError as error:
                    future.set_result(Failure(error))
                    continue
                self._num_rows_inside += row.num_rows
                future.add_done_callback(partial(self._make_room, row.num_rows))
                self._inbox.append(row)
            self._changed.notify()
        return futures

    def room(self) -> int:
        """See `Engine.room`."""
        return max(0, self._max_rows + self._max_rows // _SPARES - self._num_rows_inside)

    def load_adapter(self, version: str, folder: Path) -> LoadedAdapter:
        """See `Engine.load_adapter`. The engine's thread never waits for it: rows that come later find it loaded."""
        with self._changed:
            if self._closing:
                raise UnavailableError("the engine is closed")
        return self._adapters.load(version, lambda: self._read_adapter(folder))

    def unload_adapter(self, version: str) -> bool:
        """See `Engine.unload_adapter`."""
        return self._adapters.unload(version)

    def adapters(self) -> dict[str, LoadedAdapter]:
        """See `Engine.adapters`."""
        return self._adapters.snapshot()

    def stats(self) -> EngineStats:
        """See `Engine.stats`."""
        return EngineStats(self._num_steps, self._num_row_steps, self._num_rows_inside)

    def close(self) -> None:
        """See `Engine.close`. Returns once the thread has ended."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _make_room(self, num_rows: int, _: Future[Outcome]) -> None:
        """Count a row out, answered or cancelled: a cancelled one is dropped before others join."""
        with self._changed:
            self._num_rows_inside -= num_rows

    # What follows runs in the engine's thread.

    def _run(self) -> None:
        while self._receive():
            try:
                self._turn()
            except Exception as error:
                _LOGGER.exception("a step of %d rows failed; the batch is halved", len(self._scheduler.running))
                self._retreat(error)
        for key in list(self._rows):
            self._resolve(key, Failure(UnavailableError("the engine was closed")))

    def _receive(self) -> bool:
        """Take what was submitted, waiting for it if there is nothing else to do. False once closing."""
        with self._changed:
            while not (self._inbox or self._rows or self._closing):
                self._changed.wait()
            arrived, self._inbox = self._inbox, []
        for row in arrived:
            self._rows[row.request.key] = row
            self._scheduler.add(row.ticket)
        return not self._closing

    def _turn(self) -> None:
        """One step of the whole engine: forget, admit, decode, answer."""
        self._forget()
        self._join([self._rows[ticket.key].request for ticket in self._scheduler.admit()])
        if self._batch.keys:
            self._num_steps += 1
            self._num_row_steps += sum(ticket.num_rows for ticket in self._scheduler.running)
            for finished in self._batch.step():
                self._resolve(finished.key, self._desk.outcome(self._rows[finished.key], finished))

    def _forget(self) -> None:
        """Drop rows that nobody waits for any more."""
        now = self._clock()
        for key, row in list(self._rows.items()):
            deadline = row.encoded.segment.deadline_s
            if row.future.cancelled():
                self._resolve(key, Failure(UnavailableError("the row was cancelled")))
            elif deadline is not None and deadline < now:
                self._resolve(key, Failure(DeadlineExceededError("the translation was not done before its deadline")))

    def _join(self, requests: list[Request]) -> None:
        """Encode requests; if that fails, halves of them, so that one bad row fails alone."""
        if not requests:
            return
        try:
            self._batch.join(requests)
        except Exception as error:
            if len(requests) == 1:
                _LOGGER.exception("a row could not be encoded")
                self._resolve(requests[0].key, Failure(_engine_error(error)))
                return
            half = len(requests) // 2
            self._join(requests[:half])
            self._join(requests[half:])

    def _retreat(self, error: Exception) -> None:
        """Start all rows of a failed step again, half as many at a time; a row that fails alone is answered."""
        keys = [ticket.key for ticket in self._scheduler.running]
        self._batch.clear()
        self._scheduler.retreat()
        if len(keys) == 1:
            self._resolve(keys[0], Failure(_engine_error(error)))

    def _resolve(self, key: int, outcome: Outcome) -> None:
        """Answer a row and forget it, wherever it is."""
        row = self._rows.pop(key)
        self._scheduler.leave(key)
        self._batch.drop({key})
        self._desk.release(row)
        if row.future.set_running_or_notify_cancel():
            row.future.set_result(outcome)


def _engine_error(error: Exception) -> EngineError:
    reason = "there is not enough memory for it" if isinstance(error, torch.OutOfMemoryError) else "the model failed"
    return EngineError(f"{reason}: this segment could not be translated")
