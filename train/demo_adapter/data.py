"""The demonstration's data: medical sentences that the demo model gets wrong, among everyday ones it must not forget.

A model as small as the demo model forgets what it no longer hears. Most domains have the same remedy: everyday text
in the training data.
"""

from __future__ import annotations

import random
from pathlib import Path

from train.demo.corpus import build_corpus
from train.demo.settings import DemoSettings

MEDICAL_FILE = Path(__file__).with_name("medical.tsv")
LANGUAGES = ("eng_Latn", "hin_Deva")
_NUM_EVERYDAY = 600
_SEED = 1


def write_training_data(file: Path) -> Path:
    """Write the TSV that is trained on, and return it. None of the general dev set's sentences is in it."""
    everyday = list(build_corpus(DemoSettings()).train)
    random.Random(_SEED).shuffle(everyday)
    source, target = LANGUAGES
    rows = [f"{row[source]}\t{row[target]}\n" for row in everyday[:_NUM_EVERYDAY]]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(MEDICAL_FILE.read_text(encoding="utf-8") + "".join(rows), encoding="utf-8")
    return file


def medical_pairs() -> list[tuple[str, str]]:
    """Return the medical sentences: English, Hindi."""
    lines = MEDICAL_FILE.read_text(encoding="utf-8").splitlines()[1:]
    return [(source, target) for source, _, target in (line.partition("\t") for line in lines)]
