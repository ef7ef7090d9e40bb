"""Translation as a library call: the same pipeline and engine as the service, in this process, without Ray."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence, Sized
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack, overload

from tqdm.auto import tqdm

from configs.loader import load_settings
from configs.schema import Settings
from pipelines.adapters import LoadedAdapters
from pipelines.errors import StartupError, TranslationError
from pipelines.options import TranslateOptions, request_of, several
from pipelines.protocols import Engine
from pipelines.station import EngineStation
from pipelines.text.detect import LanguageDetector
from pipelines.translate import TranslationPipeline
from pipelines.types import TranslationResult

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
    """Translates texts of any length and language pair. Usable from any thread; close it or use it with `with`.

    Raises, in all its ways to translate:
        TranslationError: A language or the adapter is unknown, an option is not accepted, a text is too long, or the
            model failed.
    """

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._settings = settings
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
    def translate(self, text: str, **options: Unpack[TranslateOptions]) -> str: ...
    @overload
    def translate(self, text: list[str], **options: Unpack[TranslateOptions]) -> list[str]: ...
    def translate(self, text: str | list[str], **options: Unpack[TranslateOptions]) -> str | list[str]:
        """Translate one text, or several in order; if one of several cannot be translated, nothing is returned."""
        return self._start(self._translate(text, options)).result()

    @overload
    async def atranslate(self, text: str, **options: Unpack[TranslateOptions]) -> str: ...
    @overload
    async def atranslate(self, text: list[str], **options: Unpack[TranslateOptions]) -> list[str]: ...
    async def atranslate(self, text: str | list[str], **options: Unpack[TranslateOptions]) -> str | list[str]:
        """Do what `translate` does, without blocking the event loop of the caller."""
        return await asyncio.wrap_future(self._start(self._translate(text, options)))

    def translate_results(
        self, texts: Iterable[str], **options: Unpack[TranslateOptions]
    ) -> list[TranslationResult | TranslationError]:
        """Return all that is known of each translation, in order: notices, score, alternatives, what was detected.

        A text that cannot be translated has its error as result, and its neighbours have their translations.
        """
        return self._start(self._results(list(several(texts, "texts")), options)).result()

    def translate_iter(
        self, texts: Iterable[str], *, progress: bool = False, **options: Unpack[TranslateOptions]
    ) -> Iterator[str]:
        """Translate any iterable, lazily and in order, with as many texts in memory as keep the engine busy.

        An error is raised at the text that failed; those before it were yielded.

        Args:
            texts: May be endless.
            progress: Show a progress bar.
            options: See `TranslateOptions`.
        """
        total = len(texts) if isinstance(texts, Sized) else None
        under_way: deque[Future[str | list[str]]] = deque()
        with tqdm(total=total, unit="text", disable=not progress) as bar:
            try:
                for text in several(texts, "texts"):
                    under_way.append(self._start(self._translate(text, options)))
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

    async def _translate(self, text: str | list[str], options: TranslateOptions) -> str | list[str]:
        results = await self._results([text] if isinstance(text, str) else text, options)
        texts = [_text_of(result) for result in results]
        return texts[0] if isinstance(text, str) else texts

    async def _results(
        self, texts: Sequence[str], options: TranslateOptions
    ) -> list[TranslationResult | TranslationError]:
        request = request_of(self._settings, **options)
        return await self._pipeline.translate_many([replace(request, text=text) for text in texts])


def _text_of(result: TranslationResult | TranslationError) -> str:
    if isinstance(result, TranslationError):
        raise result
    return result.text
