"""What the ingress does for a request, apart from HTTP: limits, deadlines, defaults, health."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, contextmanager, nullcontext
from typing import Any

from configs.loader import ROOT
from configs.schema import DecodingSettings, GlossarySettings, LimitSettings, QualitySettings
from deployments.access.meter import Bill, Meter
from deployments.fleet import Fleet
from deployments.glossaries import Glossaries, configured_glossaries
from deployments.requests import RequestReader
from deployments.schemas import TranslateRequest
from deployments.shared_answer import SharedAnswer
from pipelines.errors import (
    DeadlineExceededError,
    OverloadedError,
    TextTooLongError,
    TooManyItemsError,
    TranslationError,
)
from pipelines.text.detect import Detection, LanguageDetector
from pipelines.text.glossary import Glossary
from pipelines.text.languages import Language, all_languages
from pipelines.text.validity import check_text
from pipelines.translate import TranslationPipeline
from pipelines.types import (
    ModelInfo,
    SegmentProgress,
    TranslationRequest,
    TranslationResult,
)

_PROBE_LIFETIME_S = 5.0


class TranslationService:
    """Serves translations within limits and deadlines.

    Args:
        pipeline: Translates texts.
        fleet: What runs behind the ingress.
        limits: What one request may ask for.
        decoding: Defaults of decoding, and the widest beam.
        meter: Charges the caller's key for the characters; None charges nobody.
        quality: How suspicious sentences are decoded again; None takes the defaults.
        detector: Detects languages; None makes one.
        glossaries: Those that are stored; None takes the defaults.
        model_revision: Of what this application serves; see `ModelInfo`.
    """

    def __init__(
        self,
        pipeline: TranslationPipeline,
        fleet: Fleet,
        *,
        limits: LimitSettings,
        decoding: DecodingSettings,
        meter: Meter | None = None,
        quality: QualitySettings | None = None,
        detector: LanguageDetector | None = None,
        glossaries: Glossaries | None = None,
        model_revision: str = "",
    ) -> None:
        self.limits = limits
        self.fleet = fleet
        self._pipeline = pipeline
        self._meter = meter
        self._reader = RequestReader(decoding, quality or QualitySettings())
        self._detector = detector or LanguageDetector()
        self.glossaries = glossaries or configured_glossaries(GlossarySettings(), ROOT)
        self._num_ongoing = 0
        self._started_s = time.monotonic()
        self._model_revision = model_revision
        self._model_info: ModelInfo | None = None
        self._probe = SharedAnswer(fleet.probe, _PROBE_LIFETIME_S)

    @property
    def num_ongoing(self) -> int:
        """Translations that this replica of the ingress works on."""
        return self._num_ongoing

    @property
    def uptime_s(self) -> float:
        """Seconds since this replica of the ingress started."""
        return time.monotonic() - self._started_s

    def check_room(self) -> None:
        """Raise unless another translation may begin.

        Raises:
            OverloadedError: As many as may be are being worked on.
        """
        if self._num_ongoing >= self.limits.max_ongoing_requests:
            raise OverloadedError(
                f"{self._num_ongoing} requests are being worked on; try again in a second", retry_after_s=1.0
            )

    async def translate(self, request: TranslateRequest) -> TranslationResult:
        """Translate one text.

        Raises:
            TranslationError: See `TranslationPipeline.translate`; also past the deadline or when overloaded.
        """
        with self._admitted():
            deadline_s = self._deadline_s()
            wanted = await self._read(request, deadline_s)
            async with self._charged([wanted]) as bill, self._in_time(deadline_s):
                result = await self._pipeline.translate(wanted)
                bill.num_done = bill.num_characters
                return result

    def check_num_items(self, num_items: int) -> None:
        """Refuse a batch by its size alone, before its items are read.

        Raises:
            TooManyItemsError: It is over the limit.
        """
        if num_items > self.limits.max_batch_items:
            raise TooManyItemsError(
                f"items has {num_items} items; at most {self.limits.max_batch_items} are accepted", field="items"
            )

    async def translate_batch(
        self, items: Sequence[TranslateRequest | TranslationError]
    ) -> list[TranslationResult | TranslationError]:
        """Translate what is valid, and return one result or error per item, in order.

        Raises:
            TooManyItemsError: The batch is over the limit.
        """
        self.check_num_items(len(items))
        with self._admitted():
            deadline_s = self._deadline_s()
            checked = await self._read_items(items, deadline_s)
            requests = [item for item in checked if isinstance(item, TranslationRequest)]
            async with self._charged(requests) as bill, self._in_time(deadline_s):
                results = await self._pipeline.translate_many(requests)
                bill.num_done = sum(
                    len(request.text)
                    for request, result in zip(requests, results, strict=True)
                    if isinstance(result, TranslationResult)
                )
        done = iter(results)
        return [next(done) if isinstance(item, TranslationRequest) else item for item in checked]

    async def stream(self, request: TranslateRequest) -> AsyncGenerator[SegmentProgress | TranslationResult]:
        """Yield the pieces of a translation as they are done, then the whole.

        What was yielded is paid for, whoever ends the stream. Each piece may be asked for by another task.

        Raises:
            TranslationError: As `translate`.
        """
        with self._admitted():
            deadline_s = self._deadline_s()
            wanted = await self._read(request, deadline_s)
            async with self._charged([wanted]) as bill, aclosing(self._pipeline.stream(wanted)) as pieces:
                while True:
                    # A time-out interrupts the task that it was begun in, so it ends before another may go on.
                    async with self._in_time(deadline_s):
                        progress = await anext(pieces, None)
                    if progress is None:
                        return
                    if isinstance(progress, SegmentProgress):
                        bill.num_done += progress.num_source_chars
                    else:
                        bill.num_done = bill.num_characters
                    yield progress

    async def detect(self, text: str) -> list[Detection]:
        """Return the likeliest languages of a text, best first; none where nothing tells.

        Raises:
            InvalidRequestError: The text is not valid Unicode, or over the limit.
        """
        check_text(text, "text")
        if len(text) > self.limits.max_text_chars:
            raise TextTooLongError(
                f"text has {len(text)} characters; at most {self.limits.max_text_chars} are accepted", field="text"
            )
        return self._detector.candidates(text)

    def is_sure(self, found: Sequence[Detection]) -> bool:
        """Whether a detection is sure enough to translate from that language."""
        return bool(found) and found[0].confidence >= self._detector.min_confidence

    async def languages(self) -> list[Language]:
        """Return the languages of the loaded model."""
        known = set((await self.model_info()).languages)
        return [language for language in all_languages() if language.code in known]

    async def model_info(self) -> ModelInfo:
        """Return what is loaded; remembered once it is what this application serves.

        A replica of the ingress never outlives its model, but a translator of the model before may be there at first.

        Raises:
            UnavailableError: No translator can be reached.
        """
        if self._model_info is not None:
            return self._model_info
        info = await self.fleet.model_info()
        if info.model_revision == self._model_revision:
            self._model_info = info
        return info

    async def probe(self) -> dict[str, Any]:
        """Return whether a translation comes back; one probe serves all who ask within a few seconds."""
        return await self._probe.get()

    @contextmanager
    def _admitted(self) -> Iterator[None]:
        self.check_room()
        self._num_ongoing += 1
        try:
            yield
        finally:
            self._num_ongoing -= 1

    async def _read(self, request: TranslateRequest, deadline_s: float) -> TranslationRequest:
        async with self._in_time(deadline_s):
            stored = await self.glossaries.find(request)
        return self._reader.read(request, self.limits, stored=stored)

    async def _read_items(
        self, items: Sequence[TranslateRequest | TranslationError], deadline_s: float
    ) -> list[TranslationRequest | TranslationError]:
        prefixed = {f"items.{index}.": item for index, item in enumerate(items)}
        async with self._in_time(deadline_s):
            stored = await self.glossaries.find_all(
                {prefix: item for prefix, item in prefixed.items() if not isinstance(item, TranslationError)}
            )
        return [
            item if isinstance(item, TranslationError) else self._to_request_or_error(item, prefix, stored[prefix])
            for prefix, item in prefixed.items()
        ]

    def _charged(self, requests: Sequence[TranslationRequest]) -> AbstractAsyncContextManager[Bill]:
        num_characters = sum(len(request.text) for request in requests)
        return nullcontext(Bill(num_characters)) if self._meter is None else self._meter.charge(num_characters)

    def _deadline_s(self) -> float:
        return asyncio.get_running_loop().time() + self.limits.request_timeout_s

    @asynccontextmanager
    async def _in_time(self, deadline_s: float) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout_at(deadline_s):
                yield
        except TimeoutError:
            raise DeadlineExceededError(
                f"the translation was not done within {self.limits.request_timeout_s:g} s"
            ) from None

    def _to_request_or_error(
        self, item: TranslateRequest, prefix: str, stored: Glossary | TranslationError | None
    ) -> TranslationRequest | TranslationError:
        try:
            return self._reader.read(item, self.limits, prefix, stored)
        except TranslationError as error:
            return error
