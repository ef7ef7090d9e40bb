"""Translates with the engine that serves, as the service is configured: what is measured is what users will get.

Long texts are split and decoded as in the service; knows no scores.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from configs.schema import Settings
from pipelines.adapters import LoadedAdapters
from pipelines.engine.checkpoint import locate_checkpoint
from pipelines.engine.configured import load_configured_engine
from pipelines.engine.tokenize import SegmentTokenizer
from pipelines.errors import StartupError, TranslationError
from pipelines.stages.configured import configured_decoding
from pipelines.station import EngineStation
from pipelines.translate import TranslationPipeline
from pipelines.types import Segment, TranslationRequest


class ServingEngine:
    """The base model in the serving engine, and adapters beside it. Close it or use it with `with`.

    Args:
        settings: The whole configuration.

    Raises:
        StartupError: The model cannot be loaded, or its engine serves no adapters.
    """

    def __init__(self, settings: Settings) -> None:
        if settings.model.engine != "inflight":
            raise StartupError(
                f"model.engine is {settings.model.engine!r}: adapters are served by 'inflight' alone",
                field="model.engine",
            )
        self._settings = settings
        self._engine = load_configured_engine(settings)
        model = settings.model
        path = locate_checkpoint(model.name, revision=model.revision, offline=model.offline).path
        self._tokenizer = SegmentTokenizer.from_checkpoint(path)

    @property
    def revision(self) -> str:
        """Of the base model, as manifests have it."""
        return self._engine.info.revision

    def load(self, version: str, folder: Path) -> None:
        """Make an adapter usable under a name.

        Raises:
            InvalidAdapterError: It does not fit the model.
        """
        self._engine.load_adapter(version, folder)

    def translate(
        self, texts: Sequence[str], source_lang: str, target_lang: str, adapter: str | None = None
    ) -> list[str]:
        """Translate texts in order, by the base model or a loaded adapter; one that fails comes out empty."""
        return asyncio.run(self._translate(texts, source_lang, target_lang, adapter))

    def pieces(self, texts: Sequence[str], language: str) -> list[str]:
        """Return each text as its tokens' numbers, joined by spaces."""
        rows = self._tokenizer.encode([Segment(text or " ", language, language) for text in texts])
        return [" ".join(map(str, getattr(row, "token_ids", ())[1:-1])) for row in rows]

    def close(self) -> None:
        """Give the memory back."""
        self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def _translate(
        self, texts: Sequence[str], source_lang: str, target_lang: str, adapter: str | None
    ) -> list[str]:
        settings = self._settings
        pipeline = TranslationPipeline(
            EngineStation(self._engine),
            max_text_chars=settings.limits.max_text_chars,
            max_segment_chars=settings.limits.max_segment_chars,
            adapters=LoadedAdapters(self._engine.adapters()),
        )
        decoding = configured_decoding(settings.decoding)
        requests = [
            TranslationRequest(text, source_lang, target_lang, adapter=adapter, decoding=decoding) for text in texts
        ]
        results = await pipeline.translate_many(requests)
        return ["" if isinstance(result, TranslationError) else result.text for result in results]
