"""What the ingress does for a request, apart from HTTP: limits, deadlines, defaults, health."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any

from configs.schema import DecodingSettings, LimitSettings
from deployments.access.meter import Meter, check_adapter
from deployments.fleet import Fleet
from deployments.schemas import TranslateRequest
from pipelines.errors import (
    DeadlineExceededError,
    OverloadedError,
    TooManyItemsError,
    TranslationError,
    UnsupportedOptionError,
)
from pipelines.text.languages import Language, all_languages
from pipelines.translate import TranslationPipeline
from pipelines.types import (
    BULK_PRIORITY,
    INTERACTIVE_PRIORITY,
    DecodingOptions,
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
    """

    def __init__(
        self,
        pipeline: TranslationPipeline,
        fleet: Fleet,
        *,
        limits: LimitSettings,
        decoding: DecodingSettings,
        meter: Meter | None = None,
    ) -> None:
        self.limits = limits
        self.fleet = fleet
        self._pipeline = pipeline
        self._decoding = decoding
        self._meter = meter
        self._num_ongoing = 0
        self._started_s = time.monotonic()
        self._model_info: ModelInfo | None = None
        self._probe: tuple[float, dict[str, Any]] | None = None
        self._probe_lock = asyncio.Lock()

    @property
    def uptime_s(self) -> float:
        """Seconds since this replica of the ingress started."""
        return time.monotonic() - self._started_s

    async def translate(self, request: TranslateRequest) -> TranslationResult:
        """Translate one text.

        Raises:
            TranslationError: See `TranslationPipeline.translate`; also past the deadline or when overloaded.
        """
        wanted = self._to_request(request)
        async with self._admitted([wanted]):
            return await self._pipeline.translate(wanted)

    async def translate_batch(
        self, items: Sequence[TranslateRequest | TranslationError]
    ) -> list[TranslationResult | TranslationError]:
        """Translate what is valid, and return one result or error per item, in order.

        Raises:
            TooManyItemsError: The batch is over the limit.
        """
        if len(items) > self.limits.max_batch_items:
            raise TooManyItemsError(
                f"items has {len(items)} items; at most {self.limits.max_batch_items} are accepted", field="items"
            )
        checked = [self._to_request_or_error(item, f"items.{index}.") for index, item in enumerate(items)]
        requests = [item for item in checked if isinstance(item, TranslationRequest)]
        async with self._admitted(requests):
            done = iter(await self._pipeline.translate_many(requests))
        return [next(done) if isinstance(item, TranslationRequest) else item for item in checked]

    async def stream(self, request: TranslateRequest) -> AsyncIterator[SegmentProgress | TranslationResult]:
        """Yield the pieces of a translation as they are done, then the whole.

        Raises:
            TranslationError: As `translate`.
        """
        wanted = self._to_request(request)
        async with self._admitted([wanted]):
            async for progress in self._pipeline.stream(wanted):
                yield progress

    async def languages(self) -> list[Language]:
        """Return the languages of the loaded model."""
        known = set((await self.model_info()).languages)
        return [language for language in all_languages() if language.code in known]

    async def model_info(self) -> ModelInfo:
        """Return what is loaded; asked once, because a replica of the ingress never outlives its model.

        Raises:
            UnavailableError: No translator can be reached.
        """
        if self._model_info is None:
            self._model_info = await self.fleet.model_info()
        return self._model_info

    async def probe(self) -> dict[str, Any]:
        """Return whether a translation comes back; one probe serves all who ask within a few seconds."""
        async with self._probe_lock:
            now_s = time.monotonic()
            if self._probe is None or now_s - self._probe[0] > _PROBE_LIFETIME_S:
                self._probe = (now_s, await self.fleet.probe())
            return self._probe[1]

    @asynccontextmanager
    async def _admitted(self, requests: Sequence[TranslationRequest]) -> AsyncIterator[None]:
        if self._num_ongoing >= self.limits.max_ongoing_requests:
            raise OverloadedError(
                f"{self._num_ongoing} requests are being worked on; try again in a second", retry_after_s=1.0
            )
        self._num_ongoing += 1
        try:
            async with self._charged(requests), asyncio.timeout(self.limits.request_timeout_s):
                yield
        except TimeoutError:
            raise DeadlineExceededError(
                f"the translation was not done within {self.limits.request_timeout_s:g} s"
            ) from None
        finally:
            self._num_ongoing -= 1

    def _charged(self, requests: Sequence[TranslationRequest]) -> AbstractAsyncContextManager[None]:
        if self._meter is None:
            return nullcontext()
        return self._meter.charge(sum(len(request.text) for request in requests))

    def _to_request_or_error(
        self, item: TranslateRequest | TranslationError, prefix: str
    ) -> TranslationRequest | TranslationError:
        if isinstance(item, TranslationError):
            return item
        try:
            return self._to_request(item, prefix)
        except TranslationError as error:
            return error

    def _to_request(self, request: TranslateRequest, prefix: str = "") -> TranslationRequest:
        num_beams = request.num_beams or self._decoding.num_beams
        if num_beams > self._decoding.max_num_beams:
            raise UnsupportedOptionError(
                f"{prefix}num_beams is {num_beams}; 1 to {self._decoding.max_num_beams} are accepted",
                field=f"{prefix}num_beams",
            )
        check_adapter(request.adapter, f"{prefix}adapter")
        decoding = DecodingOptions(
            num_beams=num_beams,
            max_new_tokens=request.max_length,
            length_penalty=self._decoding.length_penalty,
            no_repeat_ngram_size=self._decoding.no_repeat_ngram_size,
            repetition_penalty=self._decoding.repetition_penalty,
        )
        return TranslationRequest(
            text=request.text,
            source_lang=request.source_lang,
            target_lang=request.target_lang,
            adapter=request.adapter,
            decoding=decoding,
            deadline_unix_s=time.time() + self.limits.request_timeout_s,
            priority=BULK_PRIORITY if prefix else INTERACTIVE_PRIORITY,
            field_prefix=prefix,
        )
