"""Shadow mode: a share of what the live version translated is translated by the candidate too, and the two compared.

Nobody waits for it, nobody gets its output, and no text is logged.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from sacrebleu.metrics import CHRF

from pipelines.adapters.manifest import split_version
from pipelines.adapters.served import ServedAdapters
from pipelines.errors import TranslationError
from pipelines.translate import TranslationPipeline
from pipelines.types import BULK_PRIORITY, TranslationRequest, TranslationResult

_LOGGER = logging.getLogger(__name__)
_TIMEOUT_S = 60.0
_MAX_PAIRS = 100


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is known of a candidate from its shadows.

    Attributes:
        num_compared: Texts that both translated.
        num_identical: Of these, translated to the byte alike.
        num_failed: Texts that the candidate failed on.
        mean_chrf: Mean chrF of the candidate's translations against the live version's; None without any.
    """

    num_compared: int = 0
    num_identical: int = 0
    num_failed: int = 0
    mean_chrf: float | None = None


class Shadows:
    """A `PipelineObserver` that starts comparisons.

    Args:
        pipeline: Translates for the candidate; without an observer, so that shadows cast none.
        served: Knows the candidates.
        max_running: Most comparisons at a time; while so many run, further texts are left out.
        context: Makes the context of a comparison; by default that of the request.
    """

    def __init__(
        self,
        pipeline: TranslationPipeline,
        served: ServedAdapters,
        *,
        max_running: int,
        context: Callable[[], contextvars.Context] = contextvars.copy_context,
    ) -> None:
        self._pipeline = pipeline
        self._served = served
        self._max_running = max_running
        self._context = context
        self._running: set[asyncio.Task[None]] = set()
        self._chrf = CHRF()
        self._comparisons: dict[tuple[str, str], Comparison] = {}

    @property
    def comparisons(self) -> Mapping[tuple[str, str], Comparison]:
        """What was found so far, by live version and candidate."""
        return self._comparisons

    def finished(
        self,
        request: TranslationRequest,
        result: TranslationResult | TranslationError,
        adapter: str | None,
        duration_s: float,
    ) -> None:
        """See `PipelineObserver`."""
        if adapter is None or isinstance(result, TranslationError) or len(self._running) >= self._max_running:
            return
        name, _ = split_version(adapter)
        candidate = self._served.candidate(name, adapter, result.source_lang, result.target_lang, request.text)
        if candidate is None or (request.adapter is not None and request.adapter != name):
            return  # whoever names a version wants that one
        task = asyncio.get_running_loop().create_task(
            self._compare(request, result, adapter, candidate), context=self._context()
        )
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def wait(self) -> None:
        """Return when no comparison is running."""
        while self._running:
            await asyncio.wait(self._running)

    async def _compare(
        self, request: TranslationRequest, live: TranslationResult, version: str, candidate: str
    ) -> None:
        shadow = replace(request, adapter=candidate, priority=BULK_PRIORITY, deadline_s=time.monotonic() + _TIMEOUT_S)
        pair = (version, candidate)
        try:
            other = await self._pipeline.translate(shadow)
        except Exception as error:
            reason = error.message if isinstance(error, TranslationError) else repr(error)
            _LOGGER.warning("shadow: %s failed where %s translated: %s", candidate, version, reason)
            known = self._known(pair)
            self._comparisons[pair] = replace(known, num_failed=known.num_failed + 1)
            return
        chrf = float((await asyncio.to_thread(self._chrf.sentence_score, other.text, [live.text])).score)
        identical = other.text == live.text
        self._comparisons[pair] = _with(self._known(pair), chrf, identical=identical)
        _LOGGER.info(
            "shadow: %s against %s: chrF %.1f",
            candidate,
            version,
            chrf,
            extra={"adapter": version, "candidate": candidate, "chrf": chrf, "identical": identical},
        )

    def _known(self, pair: tuple[str, str]) -> Comparison:
        while len(self._comparisons) >= _MAX_PAIRS and pair not in self._comparisons:
            del self._comparisons[next(iter(self._comparisons))]
        return self._comparisons.get(pair, Comparison())


def _with(known: Comparison, chrf: float, *, identical: bool) -> Comparison:
    num_compared = known.num_compared + 1
    mean = chrf if known.mean_chrf is None else known.mean_chrf + (chrf - known.mean_chrf) / num_compared
    return replace(known, num_compared=num_compared, num_identical=known.num_identical + identical, mean_chrf=mean)
