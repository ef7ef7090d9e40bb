"""The demo corpus: parallel sentences for training, and held-out ones made of combinations never trained on.

Knows no tokenizer and no model. The same data files and settings always give the same corpus.
"""

from __future__ import annotations

import csv
import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from train.demo.lexicon import Lexicon
from train.demo.settings import LANGUAGES, DemoSettings
from train.demo.templates import Filling, Template, load_templates, sentence_case

DATA_DIR = Path(__file__).parents[1] / "demo_data"

Row = dict[str, str]
"""One text in all languages, by FLORES-200 code."""


@dataclass(frozen=True)
class Corpus:
    """Rows in all languages.

    No two rows share a text in any language, so a text has one translation; and no sentence of `held_out` is trained
    on, alone or as part of a row.

    Attributes:
        phrases: Set phrases of the phrase table, all of them trained on.
        train: Sentences from templates.
        held_out: Likewise, of other combinations of words.
    """

    phrases: tuple[Row, ...]
    train: tuple[Row, ...]
    held_out: tuple[Row, ...]


def build_corpus(settings: DemoSettings, data_dir: Path = DATA_DIR) -> Corpus:
    """Fill the templates, hold some sentences out, and add openings; read the set phrases."""
    rng = random.Random(settings.seed)
    lexicon = Lexicon.load(data_dir)
    phrases = _read_phrases(data_dir / "phrases.tsv")
    train: list[Row] = []
    held_out: list[Row] = []
    seen = {text for phrase in phrases for text in phrase.values()}
    for template in load_templates(data_dir):
        sentences = _expand(template, lexicon, settings.sentences_per_template, seen, rng)
        kept, held = _split(template, sentences, settings)
        train += kept
        held_out += held
    rng.shuffle(held_out)
    held_out = held_out[: settings.held_out_sentences]
    openers = [{language: word.form(language, "base") for language in LANGUAGES} for word in lexicon.classes["opener"]]
    return Corpus(
        phrases=tuple(phrases),
        train=tuple(_compose(train, openers, settings, rng)),
        held_out=tuple(_compose(held_out, openers, settings, rng)),
    )


def _read_phrases(path: Path) -> list[Row]:
    with path.open(encoding="utf-8", newline="") as table:
        return list(csv.DictReader(table, delimiter="\t"))


def _expand(
    template: Template, lexicon: Lexicon, limit: int, seen: set[str], rng: random.Random
) -> list[tuple[Row, dict[str, Filling]]]:
    """Draw up to `limit` sentences, each new in every language. `seen` is extended."""
    sentences = []
    for _ in range(3 * limit):
        fillings = template.fill(lexicon, rng)
        row = {language: template.render(language, fillings) for language in LANGUAGES}
        texts = {sentence_case(text) for text in row.values()}
        if texts.isdisjoint(seen):
            seen |= texts
            sentences.append((row, fillings))
        if len(sentences) == limit:
            break
    return sentences


def _split(
    template: Template, sentences: list[tuple[Row, dict[str, Filling]]], settings: DemoSettings
) -> tuple[list[Row], list[Row]]:
    """Hold out sentences as long as each of their word forms is still trained often enough in this template."""
    forms = [template.word_forms(fillings) for _, fillings in sentences]
    num_seen = Counter(form for sentence_forms in forms for form in sentence_forms)
    kept: list[Row] = []
    held: list[Row] = []
    for (row, _), sentence_forms in zip(sentences, forms, strict=True):
        spare = all(num_seen[form] > settings.min_seen for form in sentence_forms)
        if spare and len(held) < settings.held_out_ratio * len(sentences):
            num_seen.subtract(sentence_forms)
            held.append(row)
        else:
            kept.append(row)
    return kept, held


def _compose(sentences: list[Row], openers: list[Row], settings: DemoSettings, rng: random.Random) -> list[Row]:
    """Return the sentences, and some more of them after an opening."""
    finished = [{language: sentence_case(text) for language, text in row.items()} for row in sentences]
    opened = [
        {language: sentence_case(f"{opener[language]}, {text}") for language, text in row.items()}
        for row in rng.sample(sentences, int(settings.openers_ratio * len(sentences)))
        for opener in [rng.choice(openers)]
    ]
    return finished + opened
