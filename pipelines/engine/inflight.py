"""The project's own engine: rows join and leave batches that keep decoding, one batch in each lane.

Knows the tokenizer and the lanes; nothing of Ray, HTTP or event loops.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import torch
from transformers import M2M100Config

from pipelines.engine.adapter_weights import read_adapter
from pipelines.engine.backends import choose_backend
from pipelines.engine.batch import RunningBatch
from pipelines.engine.checkpoint import Checkpoint
from pipelines.engine.cuda_graph import recorder_for
from pipelines.engine.device import decoding_memory_bytes
from pipelines.engine.lane import Lane
from pipelines.engine.length import LengthBound
from pipelines.engine.linear import ROWS_TO_SPREAD, Backend
from pipelines.engine.lora import Adapter
from pipelines.engine.residents import ResidentAdapters
from pipelines.engine.rows import Row, RowDesk
from pipelines.engine.scheduler import Scheduler
from pipelines.engine.shape import ModelShape
from pipelines.engine.state import checkpoint_tensors, load_prepared
from pipelines.engine.tokenize import PREFIX_LENGTH, SegmentTokenizer
from pipelines.engine.vocabulary import Vocabulary, VocabularyKind, load_vocabulary
from pipelines.engine.weights import assemble
from pipelines.errors import EngineError, TranslationError, UnavailableError
from pipelines.protocols import EncodedSegment, EngineStats
from pipelines.types import Failure, LoadedAdapter, ModelInfo, Outcome, Segment

_LOGGER = logging.getLogger(__name__)
_SPARES = 4  # one row waits inside for so many that decode; from outside, a row would come a step too late
# Rows that decode wait meanwhile: tens of milliseconds on two cores, a few on a GPU.
_JOIN_TOKENS = 1024
_JOIN_TOKENS_OF_A_GPU = 8192
# Per lane, and at least twice what rows are spread from: with fewer, a step is mostly the reading of weights, which
# lanes do for themselves.
_ROWS_WORTH_A_LANE = 16


class InflightEngine:
    """An `Engine` with in-flight batching; see `pipelines.protocols.Engine` for the contract.

    Few rows share the first lane, whose operations then have all threads. Many are spread over all lanes, with a thread
    each: an operation of two threads ends when the slower one does, and on a machine that does other work, too, that is
    late (`docs/decisions/0011-a-lane-for-each-core.md`).

    Args:
        batches: What decodes, one for each lane; owned by the lanes' threads from here on.
        tokenizer: Of the same checkpoint.
        info: Reported as it is.
        read_adapter: From a folder; called from the threads that load adapters.
        max_rows: Of all batches.
        bound: Of the outputs' lengths.
        max_cached_tokens: Bound of memory, see `Footprint`; each batch has its share of it.
        max_join_tokens: Source tokens that a lane encodes at once.
        rows_to_spread: For each lane; fewer rows share the first.
        clock: Of the deadlines, in seconds.
    """

    def __init__(
        self,
        batches: Sequence[RunningBatch],
        tokenizer: SegmentTokenizer,
        info: ModelInfo,
        *,
        read_adapter: Callable[[Path], Adapter],
        max_rows: int,
        bound: LengthBound,
        max_cached_tokens: float = math.inf,
        max_join_tokens: int = _JOIN_TOKENS,
        rows_to_spread: int = ROWS_TO_SPREAD,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tokenizer = tokenizer
        self._info = info
        self._read_adapter = read_adapter
        self._adapters: ResidentAdapters[Adapter] = ResidentAdapters()
        self._max_rows = max_rows
        self._desk = RowDesk(tokenizer, self._adapters, max_rows, bound)
        self._all_threads = torch.get_num_threads()
        rows_per_lane = math.ceil(max_rows / len(batches))
        self._rows_to_spread = min(rows_to_spread * len(batches), rows_per_lane)  # the first lane must hold fewer
        threads = [self._threads_of_first, *[lambda: 1] * (len(batches) - 1)]
        self._lanes = [
            Lane(
                batch,
                Scheduler(
                    rows_per_lane,
                    max_cached_tokens=max_cached_tokens / len(batches),
                    max_join_tokens=max_join_tokens,
                ),
                self._desk,
                clock,
                num_threads,
            )
            for batch, num_threads in zip(batches, threads, strict=True)
        ]
        self._lock = threading.Lock()  # of who submits
        self._closing = False

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
        vocabulary: VocabularyKind | Vocabulary = "full",
        shortlist_file: str | None = None,
    ) -> InflightEngine:
        """Load a checkpoint.

        Args:
            checkpoint: On disk.
            device: To run on.
            dtype: `int8`, `bfloat16`, `float16`, `float32`; `auto` is float32 on a CPU, a 16-bit format on a GPU.
            max_rows: Of all running batches.
            max_length_ratio: See `LengthBound`.
            max_length_extra_tokens: Likewise.
            memory_bound_bytes: Of the rows' keys and values; None takes a share of what the device has free.
            vocabulary: One that there is, or see `load_vocabulary`.
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
        max_cached_tokens = memory_bytes // shape.cached_token_bytes(backend.cache_dtype)
        lanes = num_lanes(backend, torch.get_num_threads(), max_rows)
        if not isinstance(vocabulary, Vocabulary):
            vocabulary = load_vocabulary(vocabulary, tokenizer, shortlist_file)
        return cls(
            [
                RunningBatch(
                    weights, shape, backend.cache_dtype, vocabulary, recorder_for(device), max_cached_tokens / lanes
                )
                for _ in range(lanes)
            ],
            tokenizer,
            info,
            read_adapter=partial(
                read_adapter,
                shape=shape,
                dtype=backend.compute_dtype,
                device=device,
                base=partial(checkpoint_tensors, checkpoint),
            ),
            max_rows=max_rows,
            bound=LengthBound(max_length_ratio, max_length_extra_tokens, shape.max_positions - PREFIX_LENGTH),
            max_cached_tokens=max_cached_tokens,
            max_join_tokens=_JOIN_TOKENS_OF_A_GPU if device.type == "cuda" else _JOIN_TOKENS,
            rows_to_spread=backend.rows_to_spread,
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
        accepted: list[Row] = []
        with self._lock:
            for encoded, future in zip(rows, futures, strict=True):
                try:
                    self._check_open()
                    accepted.append(self._desk.accept(encoded, future))
                except TranslationError as error:
                    future.set_result(Failure(error))
                except Exception:
                    _LOGGER.exception("a row could not be accepted")
                    future.set_result(Failure(EngineError("the engine failed: this segment could not be translated")))
            self._spread(accepted)
        return futures

    def room(self) -> int:
        """See `Engine.room`."""
        return max(0, self._max_rows + self._max_rows // _SPARES - self._num_rows())

    def load_adapter(self, version: str, folder: Path) -> LoadedAdapter:
        """See `Engine.load_adapter`. No lane waits for it: rows that come later find it loaded."""
        with self._lock:
            self._check_open()
        return self._adapters.load(version, lambda: self._read(folder))

    def unload_adapter(self, version: str) -> bool:
        """See `Engine.unload_adapter`."""
        return self._adapters.unload(version)

    def adapters(self) -> dict[str, LoadedAdapter]:
        """See `Engine.adapters`."""
        return self._adapters.snapshot()

    def stats(self) -> EngineStats:
        """See `Engine.stats`."""
        return EngineStats(
            num_steps=sum(lane.num_steps for lane in self._lanes),
            num_row_steps=sum(lane.num_row_steps for lane in self._lanes),
            num_rows=self._num_rows(),
            step_s=max(lane.turn_s for lane in self._lanes),
        )

    def close(self) -> None:
        """See `Engine.close`. Returns once the threads have ended."""
        with self._lock:
            self._closing = True
        for lane in self._lanes:
            lane.close()

    def _check_open(self) -> None:
        if self._closing:
            raise UnavailableError("the engine is closed")
        if any(lane.has_ended for lane in self._lanes):
            raise UnavailableError("the engine has stopped after an error")  # as a whole, so that it is replaced

    def _spread(self, rows: Sequence[Row]) -> None:
        loads = [lane.num_rows for lane in self._lanes]
        shares: list[list[Row]] = [[] for _ in self._lanes]
        for row in rows:
            few = sum(loads) < self._rows_to_spread
            least = 0 if few else loads.index(min(loads))
            loads[least] += row.num_rows
            shares[least].append(row)
        # The first lane last: how many threads it takes depends on whether the others have rows.
        for lane, share in reversed(list(zip(self._lanes, shares, strict=True))):
            lane.put(share)

    def _num_rows(self) -> int:
        return sum(lane.num_rows for lane in self._lanes)

    def _read(self, folder: Path) -> Adapter:
        # In a thread that ends, see `load_engine`: one that stays would stay with a pool of OpenMP's workers.
        with ThreadPoolExecutor(1, thread_name_prefix="read-adapter") as reading:
            return reading.submit(self._read_adapter, folder).result()

    def _threads_of_first(self) -> int:
        return 1 if any(lane.num_rows for lane in self._lanes[1:]) else self._all_threads


def num_lanes(backend: Backend, num_threads: int, max_rows: int) -> int:
    """One for each thread of a CPU, if all can have rows enough; a GPU's operations need no second thread."""
    rows_of_lane = max(_ROWS_WORTH_A_LANE, 2 * backend.rows_to_spread)
    return num_threads if backend.device.type == "cpu" and max_rows >= rows_of_lane * num_threads else 1
