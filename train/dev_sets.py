"""The two texts that an adapter is judged by: its domain's dev split, and everyday language that it must not forget."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from configs.schema import GateSettings
from train.data.check import CheckedData, Role
from train.data.read import read_pairs
from train.demo.corpus import build_corpus
from train.demo.settings import LANGUAGES, DemoSettings

Pairs = list[tuple[str, str]]


def domain_pairs(checked: CheckedData, gate: GateSettings) -> Pairs:
    """Return the pairs that were held out of the data, up to the gate's bound."""
    return list(islice(checked.pairs(Role.DEV), gate.max_pairs))


def general_pairs(languages: tuple[str, str], gate: GateSettings) -> Pairs:
    """Return pairs of everyday language; none if there are none for these languages.

    Without a file of the user's, they are the sentences that the demo model's training never sees: simple ones about
    travel, numbers, time and health, in English, Spanish, French and Hindi.

    Raises:
        StartupError: The file cannot be read.
    """
    if gate.general_file is not None:
        lines = read_pairs(gate.general_file, *languages)
        return _whole(((line.source.strip(), line.target.strip()) for line in lines if not line.problem), gate)
    if not set(languages) <= set(LANGUAGES):
        return []
    source, target = languages
    return _whole(((row[source], row[target]) for row in build_corpus(DemoSettings()).held_out), gate)


def _whole(pairs: Iterable[tuple[str, str]], gate: GateSettings) -> Pairs:
    return list(islice((pair for pair in pairs if all(pair)), gate.max_pairs))
