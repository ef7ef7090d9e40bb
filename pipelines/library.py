"""Translation as a library call: the same pipeline and engine as the service, in this process, without Ray."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sized
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, overload

from tqdm.auto import tqdm

from configs.loader import load_settings
from configs.schema import Settings
from pipelines.adapters import LoadedAdapters
from pipelines.errors import StartupError, TranslationError
from pipelines.protocols import Engine
from pipelines.stages.configured import configured_decoding, configured_second_try
from pipelines.station import EngineStation
from pipelines.text.detect import LanguageDetector
from pipelines.translate import TranslationPipeline
from pipelines.types import TranslationRequest, TranslationResult

T = TypeVar("T")


def load_translator(
    model: str | None = None,
    *,
    adapters: Mapping[str, str | Path] | None = None,
    environment: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Translator:
    """Load a model and return what translates with it.

    Args:
        model: `demo`, a checkpoint's name on the model hub or a local path; None takes the configuration's.
        adapters: Folders in peft's format by the names that `translate(adapter=...)` has for them.
        environment: Which overlay of the configuration; see `configs.loader.load_settings`.
        settings: Further settings by dotted key, such as `{"model.dtype": "float32"}`.

    Raises:
        ConfigError: A setting is unknown or not accepted.
        StartupError: The model cannot be loaded; the message says what to do.
        InvalidAdapterError: An adapter does not fit the model; the message says in what.
    """
    from pipelines.engine.configured import load_configured_engine

    overrides = dict(settings or {})
    if model is not None:
        overrides["model.name"] = model
    loaded = load_settings(environment, overrides)
    folders = dict(adapters or {})
    for pair, name in loaded.model.default_adapters.items():
        if name not in folders:
            raise StartupError(
                f"model.default_adapters.{pair} is {name!r}: a library call serves the adapters that it is given, "
                f"{', '.join(folders) or 'none'}",
                field="model.default_adapters",
            )
    engine = load_configured_engine(loaded)
    try:
        for name, folder in folders.items():
            engine.load_adapter(name, Path(folder))
    except BaseException:
        engine.close()
        raise
    return Translator(engine, loaded)


class Translator:
    """Translates texts of any length and language pair. Usable from any thread; close it or use it with `with`."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._decoding = configured_decoding(settings.decoding)
        self._second_try = configured_second_try(self._decoding, settings.quality)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="nllb-translator", daemon=True)
        self._thread.start()
        self._pipeline = TranslationPipeline(
            EngineStation(engine),
            max_text_chars=settings.limits.max_text_chars,
            max_segment_chars=settings.limits.max_segment_chars,
            adapters=LoadedAdapters(engine.adapters().keys(), settings.model.default_adapters),
            detector=LanguageDetector(min_confidence=settings.detection.min_confidence),
        )
        self._window = 4 * engine.max_rows

    @overload
    def translate(self, text: str, *, source_lang: str, target_lang: str, adapter: str | None = None) -> str: ...
    @overload
    def translate(
        self, text: list[str], *, source_lang: str, target_lang: str, adapter: str | None = None
    ) -> list[str]: ...
    def translate(
        self, text: str | list[str], *, source_lang: str, target_lang: str, adapter: str | None = None
    ) -> str | list[str]:
        """Translate one text, or several in order, by the base model or by an adapter of `load_translator`.

        Raises:
            TranslationError: A language or the adapter is unknown, a text is too long, or the model failed.
        """
        return self._start(self._translate(text, source_lang, target_lang, adapter)).result()

    @overload
    async def atranslate(self, text: str, *, source_lang: str, target_lang: str, adapter: str | None = None) -> str: ...
    @overload
    async def atranslate(
        self, text: list[str], *, source_lang: str, target_lang: str, adapter: str | None = None
    ) -> list[str]: ...
    async def atranslate(
        self, text: str | list[str], *, source_lang: str, target_lang: str, adapter: str | None = None
    ) -> str | list[str]:
        """Do what `translate` does, without blocking the event loop of the caller."""
        return await asyncio.wrap_future(self._start(self._translate(text, source_lang, target_lang, adapter)))

    def translate_iter(
        self,
        texts: Iterable[str],
        *,
        source_lang: str,
        target_lang: str,
        adapter: str | None = None,
        progress: bool = False,
    ) -> Iterator[str]:
        """Translate any iterable, lazily and in order, with as many texts in memory as keep the engine busy.

        Args:
            texts: May be endless.
            source_lang: Language of all texts.
            target_lang: Language of all translations.
            adapter: See `translate`.
            progress: Show a progress bar.

        Raises:
            TranslationError: As `translate`, at the text that failed; those before it were yielded.
        """
        total = len(texts) if isinstance(texts, Sized) else None
        under_way: deque[Future[str | list[str]]] = deque()
        with tqdm(total=total, unit="text", disable=not progress) as bar:
            try:
                for text in texts:
                    under_way.append(self._start(self._translate(text, source_lang, target_lang, adapter)))
                    if len(under_way) >= self._window:
                        yield str(under_way.popleft().result())
                        bar.update()
                while under_way:
                    yield str(under_way.popleft().result())
                    bar.update()
            finally:
                for future in under_way:
                    future.cancel()

    def close(self) -> None:
        """Stop the engine and give its memory back."""
        self._engine.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _translate(
        self, text: str | list[str], source_lang: str, target_lang: str, adapter: str | None
    ) -> str | list[str]:
        texts = [text] if isinstance(text, str) else text
        requests = [
            TranslationRequest(
                each,
                source_lang,
                target_lang,
                adapter=adapter,
                decoding=self._decoding,
                second_try=self._second_try,
            )
            for each in texts
        ]
        results = [_text_of(result) for result in await self._pipeline.translate_many(requests)]
        return results[0] if isinstance(text, str) else results


def _text_of(result: TranslationResult | TranslationError) -> str:
    if isinstance(result, TranslationError):
        raise result
    return result.text
