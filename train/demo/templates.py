"""Sentence templates: one sentence in all languages, with slots that are filled with the same words in each.

A slot names a class of the lexicon; a digit after it (`place2`) makes it another slot of that class.

    {place}              the base form
    {place.to}           a form by name, from the word table or from the grammar
    {item:caro|cara}     one of these, by the gender of slot `item` in this language

A word may hold slots itself (`half past {late_hour}`). Templates start in lower case unless the first word is
always capitalised, so that they can follow an opening; `sentence_case` sets the capital.
Knows nothing of training and held-out sets.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from train.demo.lexicon import Lexicon, Word
from train.demo.settings import LANGUAGES

_SLOT = re.compile(r"\{(?P<slot>\w+)(?:\.(?P<form>\w+)|:(?P<variants>[^}]*))?\}")


@dataclass(frozen=True)
class Filling:
    """What stands in one slot: a word, and what fills the slots inside it."""

    word: Word
    inner: dict[str, Filling]


@dataclass(frozen=True)
class Template:
    """One sentence in all languages.

    Attributes:
        texts: The pattern by language.
        slots: Names of the slots, the same in every language, in order of appearance in English.
    """

    texts: dict[str, str]
    slots: tuple[str, ...]

    @staticmethod
    def parse(texts: dict[str, str]) -> Template:
        """Check that all languages are there and use the same slots.

        Raises:
            ValueError: They do not.
        """
        slots = {language: _slots_of(texts[language]) for language in LANGUAGES}
        english = slots["eng_Latn"]
        for language, names in slots.items():
            if set(names) != set(english):
                raise ValueError(f"{texts['eng_Latn']!r}: {language} has the slots {names}, English {english}")
        return Template(texts, english)

    def fill(self, lexicon: Lexicon, rng: random.Random) -> dict[str, Filling]:
        """Draw a word for each slot; two slots of one class never get the same word."""
        return _fill(self.slots, lexicon, rng)

    def render(self, language: str, fillings: dict[str, Filling]) -> str:
        """Return the sentence in one language, still without its capital."""
        return _render(self.texts[language], language, fillings)

    def word_forms(self, fillings: dict[str, Filling]) -> set[tuple[str, str, str, str]]:
        """Return what must be known to translate the sentence: (slot's class, word, language, form)."""
        return {
            (
                _class_of(match["slot"]),
                fillings[match["slot"]].word.name,
                language,
                match["form"] or "",
            )
            for language in LANGUAGES
            for match in _SLOT.finditer(self.texts[language])
            if match["variants"] is None
        }


def load_templates(data_dir: Path) -> tuple[Template, ...]:
    """Read `templates.yaml`, in its order."""
    topics = yaml.safe_load((data_dir / "templates.yaml").read_text(encoding="utf-8"))
    return tuple(Template.parse(texts) for topic in topics.values() for texts in topic)


def sentence_case(text: str) -> str:
    """Capitalise the first letter, past any opening punctuation."""
    first = next((index for index, char in enumerate(text) if char.isalnum()), 0)
    return text[:first] + text[first].upper() + text[first + 1 :]


def _slots_of(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(match["slot"] for match in _SLOT.finditer(text)))


def _class_of(slot: str) -> str:
    return slot.rstrip("0123456789")


def _fill(slots: tuple[str, ...], lexicon: Lexicon, rng: random.Random) -> dict[str, Filling]:
    fillings: dict[str, Filling] = {}
    for slot in slots:
        taken = {filling.word.name for name, filling in fillings.items() if _class_of(name) == _class_of(slot)}
        word = rng.choice([word for word in lexicon.classes[_class_of(slot)] if word.name not in taken])
        inner = _slots_of(word.forms["eng_Latn"]["base"])
        fillings[slot] = Filling(word, _fill(inner, lexicon, rng))
    return fillings


def _render(text: str, language: str, fillings: dict[str, Filling]) -> str:
    def replace(match: re.Match[str]) -> str:
        filling = fillings[match["slot"]]
        if match["variants"] is not None:
            variants = match["variants"].split("|")
            return variants[filling.word.genders[language] % len(variants)]
        return _render(filling.word.form(language, match["form"] or "base"), language, filling.inner)

    return _SLOT.sub(replace, text)
