"""What is late in a batch, over two hops as between deployments."""

from __future__ import annotations

import asyncio
import pickle

from configs.schema import LimitSettings
from deployments.schemas import TranslateRequest
from pipelines.cache.memory import MemoryStore
from pipelines.cache.read_through import ReadThroughCache
from pipelines.errors import DeadlineExceededError
from pipelines.protocols import SegmentTranslator
from pipelines.station import EngineStation
from pipelines.translate import TranslationPipeline
from pipelines.types import Outcome, Segment, TranslationResult
from tests.fakes import ManualEngine
from tests.http_api import make_service


class _Hop:
    """To another process."""

    def __init__(self, station: SegmentTranslator) -> None:
        self._station = station

    async def translate(self, segments: list[Segment]) -> list[Outcome]:
        """See `SegmentTranslator`."""
        outcomes: list[Outcome] = pickle.loads(
            pickle.dumps(await self._station.translate(pickle.loads(pickle.dumps(segments))))
        )
        return outcomes


async def test_an_item_that_is_late_fails_alone() -> None:
    """Its neighbours are answered and kept, so that a second try has to do only what is missing."""
    engine = ManualEngine(max_rows=1)
    cache = ReadThroughCache(MemoryStore(10, 10**6), _Hop(EngineStation(engine, model_revision="r")), "r")
    service = make_service(TranslationPipeline(_Hop(cache)), limits=LimitSettings(request_timeout_s=0.4))
    items = [TranslateRequest(text=text, source_lang="en", target_lang="es") for text in ("One.", "Two.")]
    batch = asyncio.create_task(service.translate_batch(items))
    while not engine.rows:  # noqa: ASYNC110 - a thread of the event loop's executor puts them there
        await asyncio.sleep(0.001)
    engine.finish(1)
    done, late = await batch
    assert isinstance(done, TranslationResult)
    assert isinstance(late, DeadlineExceededError)
    assert (await cache.stats()).entries == 1
