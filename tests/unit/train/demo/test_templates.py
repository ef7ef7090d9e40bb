"""Slots, agreement and capitals of the sentence templates."""

import random

import pytest

from train.demo.corpus import DATA_DIR
from train.demo.lexicon import Lexicon, Word
from train.demo.settings import LANGUAGES
from train.demo.templates import Filling, Template, sentence_case


@pytest.fixture(scope="module")
def lexicon() -> Lexicon:
    """The project's own words."""
    return Lexicon.load(DATA_DIR)


def the_word(lexicon: Lexicon, word_class: str, name: str) -> Word:
    """Return one word of a class by its English name."""
    return next(word for word in lexicon.classes[word_class] if word.name == name)


def test_a_word_may_hold_slots(lexicon: Lexicon) -> None:
    """The number inside `half past {late_hour}` is the same in all languages."""
    template = Template.parse(dict.fromkeys(LANGUAGES, "{clock}"))
    half_past = the_word(lexicon, "clock", "half past {late_hour}")
    seven = Filling(the_word(lexicon, "late_hour", "7"), {})
    fillings = {"clock": Filling(half_past, {"late_hour": seven})}
    rendered = [template.render(language, fillings) for language in LANGUAGES]
    assert rendered == ["half past 7", "las 7 y media", "7 heures et demie", "साढ़े 7 बजे"]


def test_two_slots_of_a_class_differ(lexicon: Lexicon) -> None:
    """A place is never near itself."""
    template = Template.parse(dict.fromkeys(LANGUAGES, "{place} {place2}"))
    rng = random.Random(0)
    drawn = [template.fill(lexicon, rng) for _ in range(20)]
    assert all(fillings["place"].word != fillings["place2"].word for fillings in drawn)


def test_languages_must_have_the_same_slots() -> None:
    """A slot forgotten in one language is an error, not a wrong sentence."""
    texts = dict.fromkeys(LANGUAGES, "{place}") | {"fra_Latn": "{plaze}"}
    with pytest.raises(ValueError, match="fra_Latn has the slots"):
        Template.parse(texts)


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [("where?", "Where?"), ("¿dónde?", "¿Dónde?"), ("à qui ?", "À qui ?"), ("3 is", "3 is"), ("नमस्ते", "नमस्ते")],
)
def test_sentence_case(raw: str, sentence: str) -> None:
    """The capital goes past opening marks, keeps accents and leaves digits and Devanagari alone."""
    assert sentence_case(raw) == sentence
