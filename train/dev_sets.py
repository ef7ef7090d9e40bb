"""The two texts that an adapter is judged by: its domain's dev split, and everyday language that it must not forget."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from configs.schema import GateSettings
from train.data.check import CheckedData, Role
from train.data.read import read_pairs
from train.demo.corpus import build_corpus
from train.demo.settings import LANGUAGES, DemoSettings

Pairs = list[tuple[str, str]]


def domain_pairs(checked: CheckedData, gate: GateSettings) -> Pairs:
    """Return the pairs that were held out of the data, up to the gate's bound.

    Raises:
        TrainingError: The data is another one than was checked.
    """
    return list(checked.pairs(Role.DEV))[: gate.max_pairs]  # all are read: what was checked is known at the end


def general_pairs(languages: tuple[str, str], gate: GateSettings) -> Pairs:
    """Return pairs of everyday language, up to the gate's bound; none if there are none for these languages.

    Raises:
        StartupError: The file cannot be read.
    """
    return list(islice(general_set(languages, gate), gate.max_pairs))


def general_set(languages: tuple[str, str], gate: GateSettings) -> Iterator[tuple[str, str]]:
    """Yield the whole general dev set, which must not be trained on, whatever the gate's bound.

    Without a file of the user's, it is the sentences that the demo model's training never sees: simple ones about
    travel, numbers, time and health, in English, Spanish, French and Hindi.

    Raises:
        StartupError: The file cannot be read.
    """
    return (pair for pair in _everyday(languages, gate) if all(pair))


def _everyday(languages: tuple[str, str], gate: GateSettings) -> Iterable[tuple[str, str]]:
    if gate.general_file is not None:
        lines = read_pairs(gate.general_file, *languages)
        return ((line.source.strip(), line.target.strip()) for line in lines if not line.problem)
    if not set(languages) <= set(LANGUAGES):
        return ()
    source, target = languages
    return ((row[source], row[target]) for row in build_corpus(DemoSettings()).held_out)
