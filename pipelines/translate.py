"""The whole way of a request: check, resolve, split, translate the segments, join.

Everything here is about texts; what translates a segment is behind `SegmentTranslator`, be it a cache, a deployment
or an engine in this process. Knows no Ray and no HTTP.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Protocol

from pipelines.adapters import AdapterCatalog, NoAdapters
from pipelines.errors import EngineError, SegmentTooLongError, TextTooLongError, TranslationError
from pipelines.protocols import SegmentTranslator
from pipelines.text.join import join_pieces
from pipelines.text.languages import resolve_language
from pipelines.text.segment import Piece, split_text
from pipelines.text.validity import check_text
from pipelines.types import (
    Failure,
    Notice,
    Outcome,
    Segment,
    SegmentProgress,
    Translation,
    TranslationRequest,
    TranslationResult,
)

# Segments of one streamed text that are under way at the same time: enough to fill a batch, few enough that the
# first sentences of a long text are not queued behind its last.
_STREAM_WINDOW = 16
# Splitting this much takes about a millisecond; more would hold up the event loop and is done in a thread.
_SPLIT_INLINE_CHARS = 1000


class PipelineObserver(Protocol):
    """Is told of each request as it ends, in the request's context. Quick, and never raises."""

    def finished(
        self,
        request: TranslationRequest,
        result: TranslationResult | TranslationError,
        adapter: str | None,
        duration_s: float,
    ) -> None:
        """A text is translated, or is not going to be; by an adapter version, if it came so far to have one."""
        ...


class TranslationPipeline:
    """Translates texts through a station that translates segments."""

    def __init__(
        self,
        station: SegmentTranslator,
        *,
        max_text_chars: int = 100_000,
        max_segment_chars: int = 500,
        adapters: AdapterCatalog | None = None,
        observer: PipelineObserver | None = None,
    ) -> None:
        self._station = station
        self._max_text_chars = max_text_chars
        self._max_segment_chars = max_segment_chars
        self._adapters = adapters or NoAdapters()
        self._observer = observer

    async def translate(self, request: TranslationRequest) -> TranslationResult:
        """Translate one text.

        Raises:
            InvalidRequestError: The request cannot be served; the message names the field.
            TranslationError: A segment could not be translated.
        """
        (result,) = await self.translate_many([request])
        if isinstance(result, TranslationError):
            raise result
        return result

    async def translate_many(
        self, requests: Sequence[TranslationRequest]
    ) -> list[TranslationResult | TranslationError]:
        """Translate texts of any languages with one call of the station; one result or error each, in order.

        A request that fails never fails its neighbours.
        """
        started_s = time.perf_counter()
        plans = await self._plan_all(requests)
        segments = [segment for plan in plans if isinstance(plan, _Plan) for segment in plan.segments]
        outcomes = iter(await self._translate_segments(segments))
        results: list[TranslationResult | TranslationError] = []
        for plan in plans:
            if isinstance(plan, _Plan):
                results.append(plan.finish([next(outcomes) for _ in plan.segments]))
            else:
                results.append(plan)
        for request, plan, result in zip(requests, plans, results, strict=True):
            self._finished(request, result, plan, started_s)
        return results

    async def stream(self, request: TranslationRequest) -> AsyncIterator[SegmentProgress | TranslationResult]:
        """Translate one text and yield each finished piece in order, then the whole result.

        The texts of the pieces joined are the result's text, unless the target script spaces sentences differently
        from the source; the result has the last word.

        Raises:
            TranslationError: As `translate`; the pieces yielded before stay valid.
        """
        started_s = time.perf_counter()
        (plan,) = await self._plan_all([request])
        try:
            if isinstance(plan, TranslationError):
                raise plan
            async with aclosing(self._stream(plan)) as pieces:
                async for progress in pieces:
                    if isinstance(progress, TranslationResult):
                        self._finished(request, progress, plan, started_s)
                    yield progress
        except TranslationError as error:
            self._finished(request, error, plan, started_s)
            raise

    async def _stream(self, plan: _Plan) -> AsyncGenerator[SegmentProgress | TranslationResult]:
        window = asyncio.Semaphore(_STREAM_WINDOW)

        async def translate_one(segment: Segment) -> Outcome:
            async with window:
                (outcome,) = await self._translate_segments([segment])
                return outcome

        tasks = [asyncio.ensure_future(translate_one(segment)) for segment in plan.segments]
        outcomes: list[Outcome] = []
        try:
            lead = ""
            for piece in plan.pieces:
                if not piece.translatable:
                    lead += piece.text
                    continue
                outcome = await tasks[len(outcomes)]
                if isinstance(outcome, Failure):
                    raise outcome.error
                outcomes.append(outcome)
                yield SegmentProgress(len(outcomes) - 1, lead + outcome.text, outcome.cached)
                lead = ""
            result = plan.finish(outcomes)
            if isinstance(result, TranslationError):
                raise result
            yield result
        finally:
            for task in tasks:
                task.cancel()

    def _finished(
        self,
        request: TranslationRequest,
        result: TranslationResult | TranslationError,
        plan: _Plan | TranslationError,
        started_s: float,
    ) -> None:
        if self._observer is not None:
            adapter = plan.adapter if isinstance(plan, _Plan) else None
            self._observer.finished(request, result, adapter, time.perf_counter() - started_s)

    async def _plan_all(self, requests: Sequence[TranslationRequest]) -> list[_Plan | TranslationError]:
        if sum(len(request.text) for request in requests) <= _SPLIT_INLINE_CHARS:
            return [self._plan_or_error(request) for request in requests]
        return await asyncio.to_thread(lambda: [self._plan_or_error(request) for request in requests])

    def _plan_or_error(self, request: TranslationRequest) -> _Plan | TranslationError:
        try:
            return self._plan(request)
        except TranslationError as error:
            return error

    def _plan(self, request: TranslationRequest) -> _Plan:
        prefix = request.field_prefix
        source = resolve_language(request.source_lang, field=f"{prefix}source_lang").code
        target = resolve_language(request.target_lang, field=f"{prefix}target_lang").code
        check_text(request.text, f"{prefix}text")
        if len(request.text) > self._max_text_chars:
            raise TextTooLongError(
                f"{prefix}text has {len(request.text)} characters; at most {self._max_text_chars} are accepted "
                "in one text, split it into several",
                field=f"{prefix}text",
            )
        adapter = None
        if request.adapter is not None:
            adapter = self._adapters.resolve(request.adapter, source, target, field=f"{prefix}adapter")
        if source == target:
            notice = Notice("same_language", f"source and target are both {source}; the text is returned as it is")
            return _Plan(source, target, adapter, [Piece(request.text, translatable=False)], [], (notice,))
        pieces = split_text(request.text, source, max_segment_chars=self._max_segment_chars)
        segments = [
            Segment(
                text=piece.text,
                source_lang=source,
                target_lang=target,
                adapter=adapter,
                decoding=request.decoding,
                priority=request.priority,
                deadline_unix_s=request.deadline_unix_s,
            )
            for piece in pieces
            if piece.translatable
        ]
        return _Plan(source, target, adapter, pieces, segments, ())

    async def _translate_segments(self, segments: list[Segment]) -> list[Outcome]:
        if not segments:
            return []
        outcomes = await self._station.translate(segments)
        if len(outcomes) != len(segments):
            error = EngineError(f"{len(segments)} segments were sent and {len(outcomes)} came back")
            return [Failure(error) for _ in segments]
        return [
            await self._translate_halves(segment, outcome.error)
            if isinstance(outcome, Failure) and isinstance(outcome.error, SegmentTooLongError)
            else outcome
            for segment, outcome in zip(segments, outcomes, strict=True)
        ]

    async def _translate_halves(self, segment: Segment, error: SegmentTooLongError) -> Outcome:
        """Split a segment that has few characters and yet more tokens than the model reads."""
        if len(segment.text) < 2:
            return Failure(error)
        pieces = split_text(segment.text, segment.source_lang, max_segment_chars=(len(segment.text) + 1) // 2)
        parts = [replace(segment, text=piece.text) for piece in pieces if piece.translatable]
        if any(len(part.text) >= len(segment.text) for part in parts):
            return Failure(error)
        outcomes = await self._translate_segments(parts)
        done = [outcome for outcome in outcomes if isinstance(outcome, Translation)]
        if len(done) < len(outcomes):
            return next(outcome for outcome in outcomes if isinstance(outcome, Failure))
        languages = {"source_lang": segment.source_lang, "target_lang": segment.target_lang}
        return Translation(
            text=join_pieces(pieces, [each.text for each in done], **languages),
            num_source_tokens=sum(each.num_source_tokens for each in done),
            num_target_tokens=sum(each.num_target_tokens for each in done),
            finish="length" if any(each.finish == "length" for each in done) else "stop",
            cached=all(each.cached for each in done),
        )


@dataclass(frozen=True, slots=True)
class _Plan:
    """A request that was understood: its pieces, and the segments of those that are to be translated."""

    source_lang: str
    target_lang: str
    adapter: str | None
    pieces: list[Piece]
    segments: list[Segment]
    notices: tuple[Notice, ...]

    def finish(self, outcomes: Sequence[Outcome]) -> TranslationResult | TranslationError:
        """Join the outcomes, or return the first failure."""
        outputs: list[str] = []
        notices = list(self.notices)
        for index, outcome in enumerate(outcomes):
            if isinstance(outcome, Failure):
                return outcome.error
            if outcome.finish == "length":
                notices.append(Notice("length", f"the output of segment {index} reached its longest length"))
            outputs.append(outcome.text)
        languages = {"source_lang": self.source_lang, "target_lang": self.target_lang}
        return TranslationResult(
            text=join_pieces(self.pieces, outputs, **languages),
            adapter=self.adapter,
            cached=bool(outcomes) and all(isinstance(each, Translation) and each.cached for each in outcomes),
            num_segments=len(outcomes),
            notices=tuple(notices),
            **languages,
        )
