"""An engine that returns its input: the text path can be tested to the byte, and a client developed, without a model.

Loads nothing, starts no thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from pipelines.engine.adapter_config import WEIGHTS_FILE, read_adapter_config
from pipelines.engine.residents import ResidentAdapters
from pipelines.errors import EngineError, SegmentTooLongError, UnknownAdapterError, UnknownLanguageError
from pipelines.protocols import EncodedSegment, EngineStats
from pipelines.text.languages import all_languages
from pipelines.types import Failure, LoadedAdapter, ModelInfo, Outcome, Segment, Translation

NUM_SPECIAL_TOKENS = 2


@dataclass(frozen=True, slots=True)
class _Adapter:
    rank: int
    num_bytes: int


class IdentityEngine:
    """Implements `Engine`; a character is a token, and every future is resolved when `submit` returns.

    An adapter's configuration is checked and its weights are not read: they would change nothing.

    Args:
        max_rows: See `Engine.max_rows`.
        max_source_tokens: Longer segments are refused, as a model would.
        languages: FLORES-200 codes it answers for; None takes all of NLLB-200.
        fail_on: A segment whose text contains this fails, as a model might.
    """

    def __init__(
        self,
        *,
        max_rows: int = 32,
        max_source_tokens: int = 1024,
        languages: Sequence[str] | None = None,
        fail_on: str | None = None,
    ) -> None:
        codes = [language.code for language in all_languages()] if languages is None else languages
        self._max_rows = max_rows
        self._fail_on = fail_on
        self._adapters: ResidentAdapters[_Adapter] = ResidentAdapters()
        self._num_rows_done = 0
        self._info = ModelInfo(
            name="identity",
            revision="identity",
            licence="Apache-2.0",
            engine="identity",
            device="cpu",
            dtype="none",
            max_source_tokens=max_source_tokens,
            num_parameters=0,
            languages=tuple(sorted(codes)),
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
        return [self._encode(segment) for segment in segments]

    def submit(self, rows: Sequence[EncodedSegment]) -> list[Future[Outcome]]:
        """See `Engine.submit`."""
        futures = []
        self._num_rows_done += len(rows)
        for row in rows:
            future: Future[Outcome] = Future()
            future.set_result(self._translate(row))
            futures.append(future)
        return futures

    def room(self) -> int:
        """See `Engine.room`; never less than all rows."""
        return self._max_rows

    def load_adapter(self, version: str, folder: Path) -> LoadedAdapter:
        """See `Engine.load_adapter`."""
        return self._adapters.load(version, lambda: _read_adapter(folder))

    def unload_adapter(self, version: str) -> bool:
        """See `Engine.unload_adapter`."""
        return self._adapters.unload(version)

    def adapters(self) -> dict[str, LoadedAdapter]:
        """See `Engine.adapters`."""
        return self._adapters.snapshot()

    def stats(self) -> EngineStats:
        """See `Engine.stats`. Each row takes one step, alone."""
        return EngineStats(self._num_rows_done, self._num_rows_done)

    def close(self) -> None:
        """See `Engine.close`; there is nothing to stop."""

    def _encode(self, segment: Segment) -> EncodedSegment | Failure:
        for field, language in (("source_lang", segment.source_lang), ("target_lang", segment.target_lang)):
            if language not in self._info.languages:
                return Failure(UnknownLanguageError(f"the model has no language {language!r}", field=field))
        num_tokens, most = len(segment.text) + NUM_SPECIAL_TOKENS, self._info.max_source_tokens
        if num_tokens > most:
            return Failure(SegmentTooLongError(f"the segment has {num_tokens} tokens, the model reads at most {most}"))
        return EncodedSegment(segment, (0, *map(ord, segment.text), 0))

    def _translate(self, row: EncodedSegment) -> Outcome:
        text, adapter = row.segment.text, row.segment.adapter
        if adapter is not None and adapter not in self._adapters.snapshot():
            return Failure(UnknownAdapterError(f"adapter {adapter!r} is not loaded", field="adapter"))
        if self._fail_on is not None and self._fail_on in text:
            return Failure(EngineError("the model failed on this segment"))
        return Translation(
            text, num_source_tokens=row.num_tokens, num_target_tokens=row.num_tokens - NUM_SPECIAL_TOKENS
        )


def _read_adapter(folder: Path) -> _Adapter:
    return _Adapter(read_adapter_config(folder).rank, (folder / WEIGHTS_FILE).stat().st_size)
