"""The seams of the project: every station, engine and store is one of these, so each can be faked in a test."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pipelines.types import Failure, LoadedAdapter, ModelInfo, Outcome, Segment


class SegmentTranslator(Protocol):
    """A station of the request's way: the cache, the translator, a fake."""

    async def translate(self, segments: list[Segment]) -> list[Outcome]:
        """Return one outcome per segment, in order. A segment's failure is an outcome, not an exception.

        Raises:
            UnavailableError: The station as a whole cannot be reached.
        """
        ...


@dataclass(frozen=True, slots=True)
class EncodedSegment:
    """A segment as the model reads it.

    Attributes:
        segment: Where it came from.
        token_ids: `[source language, tokens..., </s>]`.
        unknown_spans: Character spans `(start, end)` of `segment.text` that the vocabulary cannot spell.
    """

    segment: Segment
    token_ids: tuple[int, ...]
    unknown_spans: tuple[tuple[int, int], ...] = ()

    @property
    def num_tokens(self) -> int:
        """Length of the row before padding."""
        return len(self.token_ids)


@dataclass(frozen=True, slots=True)
class EngineStats:
    """What an engine did since it was made, and holds now.

    Attributes:
        num_steps: Steps of the decoder.
        num_row_steps: Rows, summed over those steps.
        num_rows: Rows that were submitted and have no outcome yet.
        step_s: Seconds that the present step takes so far, in the lane where they are most; 0 while there is none.
    """

    num_steps: int = 0
    num_row_steps: int = 0
    num_rows: int = 0
    step_s: float = 0.0


class Engine(Protocol):
    """Runs the model. Thread-safe: everything but `close` may be called from any thread at any time.

    The caller admits rows only while `room()` says so; an engine that decodes one fixed batch at a time has no
    room while it works, one with in-flight batching has room while decoder slots are free.
    """

    @property
    def info(self) -> ModelInfo:
        """What is loaded."""
        ...

    @property
    def max_rows(self) -> int:
        """The most rows that are ever decoded together (a beam of width b takes b rows)."""
        ...

    def encode(self, segments: Sequence[Segment]) -> list[EncodedSegment | Failure]:
        """Tokenise in one call, one result per segment, in order.

        A segment over the model's length is a `Failure(SegmentTooLongError)`; a language without a token is a
        `Failure(UnknownLanguageError)`.
        """
        ...

    def submit(self, rows: Sequence[EncodedSegment]) -> list[Future[Outcome]]:
        """Admit rows as one encoder batch and return at once, one future per row, in order.

        Futures are resolved from the engine's own thread, each as soon as its row is finished. They never hold an
        exception: a failing row resolves to a `Failure`. Cancelling a future drops its row.

        A row uses its segment's adapter from here until its future is resolved; one whose adapter is not loaded is a
        `Failure(UnknownAdapterError)`.
        """
        ...

    def room(self) -> int:
        """How many more rows the engine can use now, so that none of its decoder's rows stands idle; 0 when full.

        When a row's future runs its callbacks, the room that the row gave back is already counted.
        """
        ...

    def load_adapter(self, version: str, folder: Path) -> LoadedAdapter:
        """Read an adapter and make it usable by rows; returns once it is. A loaded version is not read again.

        Rows that are being decoded go on meanwhile.

        Args:
            version: The name that rows will use, such as `medical@3`.
            folder: In peft's format: `adapter_config.json` and `adapter_model.safetensors`; not needed afterwards.

        Raises:
            InvalidAdapterError: It cannot be read, or does not fit the model; the message names what is wrong.
            UnsupportedOptionError: This engine serves no adapters.
            UnavailableError: The engine is closed.
        """
        ...

    def unload_adapter(self, version: str) -> bool:
        """Give an adapter's memory back; False while a row uses it, True once it is not loaded (any more)."""
        ...

    def adapters(self) -> dict[str, LoadedAdapter]:
        """What is loaded, by version; a snapshot."""
        ...

    def stats(self) -> EngineStats:
        """Return the engine's counters. Cheap enough to be asked every second."""
        ...

    def close(self) -> None:
        """Stop the engine's thread; rows that are still waiting resolve to `Failure(UnavailableError)`."""
        ...
