"""The phrase table: words by class, with the forms and the gender that each language needs; and number slots.

Reads `words/<class>.tsv`, whose columns are `<language>` (the base form), `<language>.g` (gender) and
`<language>.<form>` (an irregular form; an empty cell means that it equals the base form). Knows no templates.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import yaml

from train.demo.grammar import derive_forms
from train.demo.settings import LANGUAGES

GENDERS = ("m", "f", "mp", "fp")
"""Masculine, feminine; and in Hindi the plural of respect of both."""


@dataclass(frozen=True)
class Word:
    """One row of a word table.

    Attributes:
        name: The English base form, unique in its class.
        forms: By language, then by form; the base form is called `base`.
        genders: Index into `GENDERS` by language, for the words that have one.
    """

    name: str
    forms: dict[str, dict[str, str]]
    genders: dict[str, int]

    def form(self, language: str, form: str) -> str:
        """Return the form.

        Raises:
            KeyError: The word has no such form.
        """
        return self.forms[language][form]


@dataclass(frozen=True)
class Lexicon:
    """All that can fill a slot: the words of a class, or the values of a number slot."""

    classes: dict[str, tuple[Word, ...]]

    @staticmethod
    def load(data_dir: Path) -> Lexicon:
        """Read every word table and the number slots below `data_dir`."""
        classes = {path.stem: _read_words(path) for path in sorted(data_dir.glob("words/*.tsv"))}
        numbers = yaml.safe_load((data_dir / "numbers.yaml").read_text(encoding="utf-8"))
        for name, (first, last, step) in numbers.items():
            classes[name] = tuple(_number(str(value)) for value in range(first, last + 1, step))
        return Lexicon(classes)


def _read_words(path: Path) -> tuple[Word, ...]:
    with path.open(encoding="utf-8", newline="") as table:
        return tuple(_read_word(row) for row in csv.DictReader(table, delimiter="\t"))


def _read_word(row: dict[str, str]) -> Word:
    forms: dict[str, dict[str, str]] = {}
    genders: dict[str, int] = {}
    for language in LANGUAGES:
        base = row[language]
        gender = row.get(f"{language}.g")
        if gender:
            genders[language] = GENDERS.index(gender)
        forms[language] = {"base": base} | derive_forms(language, base, gender)
    for column, cell in row.items():
        language, _, form = column.partition(".")
        if form and form != "g" and (cell or form not in forms[language]):
            forms[language][form] = cell or row[language]
    return Word(row["eng_Latn"], forms, genders)


def _number(value: str) -> Word:
    return Word(value, {language: {"base": value} for language in LANGUAGES}, {})
