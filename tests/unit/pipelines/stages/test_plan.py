"""Languages of a document: its own, those of its passages, and none."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.errors import AdapterLanguageError
from pipelines.translate import TranslationPipeline
from pipelines.types import TranslationRequest, TranslationResult
from tests.fakes import ShoutingStation
from tests.fakes_text import codes


class _EnglishAdapters:
    """Knows one adapter, which was trained for English."""

    def resolve(self, name: str | None, source_lang: str, target_lang: str, *, text: str, field: str) -> str | None:
        """See `AdapterCatalog`."""
        if name is not None and source_lang != "eng_Latn":
            raise AdapterLanguageError(f"{field}: {name} does not translate {source_lang}", field=field)
        return name


async def _translate(
    text: str, source: str, target: str = "de", station: ShoutingStation | None = None, **more: Any
) -> TranslationResult:
    pipeline = TranslationPipeline(station or ShoutingStation(), adapters=_EnglishAdapters())
    return await pipeline.translate(TranslationRequest(text, source, target, **more))


@pytest.mark.parametrize(
    ("text", "more"),
    [
        ('<p>Hello</p><p lang="fr">Bonjour</p><p lang="fr">Merci</p>', {"source_lang": "en", "format": "html"}),
        ("Hello my friends, how are you today, and where?\n\nOù est la pharmacie ?", {"source_lang": "auto"}),
    ],
)
async def test_a_passage_that_the_adapter_is_not_for_has_none(text: str, more: dict[str, Any]) -> None:
    """It is translated by the base model and one notice for its language says so; the rest has the adapter."""
    station = ShoutingStation()
    source = more.pop("source_lang")
    result = await _translate(text, source, station=station, adapter="medical@3", **more)
    asked = {segment.source_lang: segment.adapter for segment in station.calls[0]}
    assert asked == {"eng_Latn": "medical@3", "fra_Latn": None}
    assert result.adapter == "medical@3"
    assert codes(result) == ["adapter_language"]
    assert "fra_Latn" in result.notices[0].message


async def test_the_adapter_must_be_for_the_document_s_own_language() -> None:
    """What most of it is in is not translated in another way than was asked for."""
    with pytest.raises(AdapterLanguageError):
        await _translate("Bonjour", "fr", adapter="medical@3")


@pytest.mark.parametrize(
    "text",
    [
        '<p lang="fr">Bonjour le monde</p><p lang="es">Hola</p>',
        '<p lang="fr">Bonjour le monde</p><p>ok</p><p lang="es">Hola</p>',
    ],
)
async def test_a_document_that_names_its_languages_is_not_guessed(text: str) -> None:
    """`auto` takes what most of it says it is in, where nothing else can be told."""
    result = await _translate(text, "auto", format="html")
    assert (result.source_lang, result.detected) == ("fra_Latn", None)
    assert "BONJOUR LE MONDE" in result.text
    assert "HOLA" in result.text


@pytest.mark.parametrize("text", ["", "12345", " 12:30 {name} https://a.org 🙂"])
async def test_what_has_no_language_comes_back(text: str) -> None:
    """`auto` has nothing to detect: the text is what it would be in the target language, and a notice says so."""
    station = ShoutingStation()
    result = await _translate(text, "auto", station=station)
    assert (result.text, result.source_lang, result.detected, station.calls) == (text, "deu_Latn", None, [])
    assert codes(result) == ["no_language"]


async def test_language_inside_a_tag_is_language() -> None:
    """A picture alone has the language of its description."""
    result = await _translate('<p><img alt="Où est la pharmacie, s\'il vous plaît ?"></p>', "auto", format="html")
    assert (result.source_lang, codes(result)) == ("fra_Latn", [])
    assert "OÙ EST LA PHARMACIE" in result.text
