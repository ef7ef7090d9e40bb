"""The whole way of a request: plan it, translate its sentences, put them together.

Everything here is about texts; what translates a segment is behind `SegmentTranslator`, be it a cache, a deployment
or an engine in this process. Knows no Ray and no HTTP. The stages are in `pipelines/stages`, the questions about text
that they ask in `pipelines/text`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Protocol

from pipelines.adapters import AdapterCatalog, LoadedAdapters
from pipelines.errors import TranslationError
from pipelines.protocols import SegmentTranslator
from pipelines.stages.answer import make_result
from pipelines.stages.plan import Plan, Planner
from pipelines.stages.protected import Order
from pipelines.stages.sentence import Done, Sentence, translate_sentence
from pipelines.stages.steps import run, side_by_side
from pipelines.text.detect import LanguageDetector
from pipelines.types import Failure, SegmentProgress, TranslationRequest, TranslationResult

_LOGGER = logging.getLogger(__name__)
# Segments of one streamed text that are under way at the same time: enough to fill a batch, few enough that the
# first sentences of a long text are not queued behind its last.
_STREAM_WINDOW = 16
# Planning this much takes about a millisecond; more would hold up the event loop and is done in a thread.
_PLAN_INLINE_CHARS = 1000
# Likewise for what is done to more sentences than these, before and behind the station.
_ASK_INLINE_SENTENCES = 8


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
    """Translates texts through a station that translates segments.

    `on_stage` is told of what is done to texts before and after the station, and how long it took: `plan`, `answer`.
    """

    def __init__(
        self,
        station: SegmentTranslator,
        *,
        max_text_chars: int = 100_000,
        max_segment_chars: int = 500,
        adapters: AdapterCatalog | None = None,
        detector: LanguageDetector | None = None,
        observers: Sequence[PipelineObserver] = (),
        on_stage: Callable[[str, float], None] | None = None,
    ) -> None:
        self._station = station
        self._on_stage = on_stage or (lambda _stage, _duration_s: None)
        self._observers = tuple(observers)
        self._planner = Planner(
            max_text_chars=max_text_chars,
            max_segment_chars=max_segment_chars,
            adapters=adapters or LoadedAdapters(),
            detector=detector or LanguageDetector(),
        )

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

        What is suspicious, or lost what must not change, is asked for again: one more call for all texts together.
        A request that fails never fails its neighbours.
        """
        started_s = time.perf_counter()
        plans = await self._plan_all(requests)
        asked = [translate_sentence(*each) for plan in plans if isinstance(plan, Plan) for each in plan.work()]
        is_long = len(asked) > _ASK_INLINE_SENTENCES
        outcomes = await run(side_by_side(asked), self._station, in_thread=is_long)
        asked_s = time.perf_counter()
        results = await asyncio.to_thread(_answer, plans, outcomes) if is_long else _answer(plans, outcomes)
        self._on_stage("answer", time.perf_counter() - asked_s)
        for request, plan, result in zip(requests, plans, results, strict=True):
            self._finished(request, result, plan, started_s)
        return results

    async def stream(self, request: TranslationRequest) -> AsyncGenerator[SegmentProgress | TranslationResult]:
        """Translate one text and yield each finished piece in order, then the whole result.

        The texts of the pieces joined are the result's text, with two exceptions: where the target script spaces
        sentences differently from the source, and where the document names its own language (`lang`), which is
        known to change only with the last sentence. The result has the last word.

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

    async def _stream(self, plan: Plan) -> AsyncGenerator[SegmentProgress | TranslationResult]:
        window = asyncio.Semaphore(_STREAM_WINDOW)

        async def translate_one(sentence: Sentence, order: Order) -> Done | Failure:
            async with window:
                return await run(translate_sentence(sentence, order), self._station)

        work = plan.work()
        tasks = [asyncio.ensure_future(translate_one(*each)) for each in work]
        done: list[Done] = []
        try:
            lead, index = "", 0
            for fragment in plan.fragments():
                if isinstance(fragment, str):
                    lead += fragment
                    continue
                own: list[Done] = []
                its = slice(len(done), len(done) + fragment.num_sentences)
                for task in tasks[its]:
                    outcome = await task
                    if isinstance(outcome, Failure):
                        raise outcome.error
                    own.append(outcome)
                done += own
                cached = all(each.translation.cached for each in own)
                num_source_chars = sum(len(sentence.text) for sentence, _ in work[its])
                yield SegmentProgress(index, lead + fragment.write(own), cached, num_source_chars)
                index += 1
                lead = ""
            if lead:
                yield SegmentProgress(index, lead, cached=True, num_source_chars=0)  # what is behind the last sentence
            result = make_result(plan, done)
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
        plan: Plan | TranslationError,
        started_s: float,
    ) -> None:
        adapter = plan.adapter if isinstance(plan, Plan) else None
        for observer in self._observers:
            observer.finished(request, result, adapter, time.perf_counter() - started_s)

    async def _plan_all(self, requests: Sequence[TranslationRequest]) -> list[Plan | TranslationError]:
        started_s = time.perf_counter()
        # A caller's own patterns may take longer than any text of ours.
        is_quick = sum(len(request.text) for request in requests) <= _PLAN_INLINE_CHARS
        if is_quick and not any(request.keep_patterns for request in requests):
            plans = [self._plan_or_error(request) for request in requests]
        else:
            plans = await asyncio.to_thread(lambda: [self._plan_or_error(request) for request in requests])
        self._on_stage("plan", time.perf_counter() - started_s)
        return plans

    def _plan_or_error(self, request: TranslationRequest) -> Plan | TranslationError:
        try:
            return self._planner.plan(request)
        except TranslationError as error:
            return error
        except Exception as error:
            # What nobody foresaw in one text is no reason to lose the others.
            _LOGGER.exception("a text could not be planned")
            failed = TranslationError("the service failed on this text; its log has the cause")
            failed.__cause__ = error
            return failed


def _answer(
    plans: Sequence[Plan | TranslationError], outcomes: Sequence[Done | Failure]
) -> list[TranslationResult | TranslationError]:
    left = iter(outcomes)
    results: list[TranslationResult | TranslationError] = []
    for plan in plans:
        results.append(make_result(plan, [next(left) for _ in plan.work()]) if isinstance(plan, Plan) else plan)
    return results
