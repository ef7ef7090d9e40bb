"""The library call: the options of a request, and all that is known of a translation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from configs.schema import Settings
from pipelines.engine.identity import IdentityEngine
from pipelines.errors import InvalidRequestError, TranslationError, UnknownLanguageError, UnsupportedOptionError
from pipelines.library import Translator
from pipelines.text.glossary import Glossary
from pipelines.types import TranslationResult

ENGLISH = "The train to the city leaves at noon, and we are going to be late."
PAIR: dict[str, Any] = {"source_lang": "en", "target_lang": "es"}


@pytest.fixture
def translator() -> Iterator[Translator]:
    """One whose engine returns each text as it came."""
    with Translator(IdentityEngine(), Settings()) as translator:
        yield translator


@pytest.mark.parametrize(
    ("text", "options", "translation"),
    [
        ("<p>Hello.</p>", {"format": "html"}, "<p>Hello.</p>"),
        ("A heart attack.", {"glossary": {"heart attack": "infarto"}}, "A infarto."),
        ("A HEART attack.", {"glossary": Glossary({"heart attack": "infarto"}, match_case=True)}, "A HEART attack."),
        ("Ray is 7.", {"do_not_translate": ["Ray"], "protect_patterns": [r"\d"]}, "Ray is 7."),
    ],
)
def test_a_call_takes_what_a_request_takes(
    translator: Translator, text: str, options: dict[str, Any], translation: str
) -> None:
    """Formats, glossaries and what stays as it is, whichever way is called."""
    assert translator.translate(text, **PAIR, **options) == translation
    assert translator.translate([text], **PAIR, **options) == [translation]
    assert list(translator.translate_iter([text] * 3, **PAIR, **options)) == [translation] * 3


def test_json_is_translated_where_it_is_asked_for(translator: Translator) -> None:
    """By pointers, as in a request."""
    options = {"format": "json", "json_include": ["/a"], "glossary": {"yes": "si"}}
    assert translator.translate('{"a": "yes", "b": "yes"}', **PAIR, **options) == '{"a": "si", "b": "yes"}'


async def test_a_caller_with_an_event_loop_waits_without_blocking_it(translator: Translator) -> None:
    """With the same options."""
    assert await translator.atranslate("yes", **PAIR, glossary={"yes": "sí"}) == "sí"


def test_results_say_all_and_fail_alone(translator: Translator) -> None:
    """Languages, notices, alternatives; of three texts the one that is no text has an error."""
    first, bad, last = translator.translate_results(
        iter([ENGLISH, "\ud800", "12345"]), source_lang="auto", target_lang="es", alternatives=2
    )
    assert isinstance(first, TranslationResult)
    assert (first.text, first.source_lang, first.target_lang) == (ENGLISH, "eng_Latn", "spa_Latn")
    assert isinstance(bad, TranslationError)
    assert bad.field == "text"
    assert isinstance(last, TranslationResult)
    assert [notice.code for notice in last.notices] == ["no_language"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "pdf"}, "format is 'pdf'; accepted are text, html"),
        ({"num_beams": 0}, "num_beams is 0; 1 to 8 are accepted"),
        ({"num_beams": 9}, "num_beams is 9; 1 to 8 are accepted"),
        ({"alternatives": 9}, "alternatives is 9; 1 to 8 are accepted"),
        ({"max_length": 0}, "max_length is 0; at least 1 is accepted"),
        ({"do_not_translate": "Ray"}, "do_not_translate is 'Ray'; a list of such is accepted"),
        ({"format": "json", "json_include": ["a"]}, "json_include: 'a' is not a JSON pointer"),
        ({"glossary": {"": "x"}}, "glossary"),
    ],
)
def test_an_option_that_is_not_accepted_is_named(translator: Translator, options: dict[str, Any], message: str) -> None:
    """With its value and what is accepted."""
    with pytest.raises(UnsupportedOptionError, match=message):
        translator.translate("Hello.", **PAIR, **options)


def test_one_text_is_not_several(translator: Translator) -> None:
    """Its characters are not what was meant."""
    with pytest.raises(UnsupportedOptionError, match=r"texts is 'Hello\.'; a list of such is accepted"):
        translator.translate_results("Hello.", **PAIR)
    with pytest.raises(UnsupportedOptionError, match=r"texts is 'Hello\.'"):
        next(translator.translate_iter("Hello.", **PAIR))


def test_an_unknown_option_is_a_mistake_of_the_program(translator: Translator) -> None:
    """As of any function; nothing is passed over."""
    with pytest.raises(TypeError, match="glosary"):
        translator.translate("Hello.", **PAIR, glosary={})
    with pytest.raises(TypeError, match="target_lang"):
        translator.translate("Hello.", source_lang="en")  # type: ignore[call-overload]


def test_one_of_several_that_cannot_be_translated_is_raised(translator: Translator) -> None:
    """Where only texts are returned there is no place for an error."""
    with pytest.raises(InvalidRequestError):
        translator.translate(["Hello.", "\ud800"], **PAIR)
    with pytest.raises(UnknownLanguageError):
        translator.translate("Hello.", source_lang="xx", target_lang="es")
