"""The best translations of a whole text, from the best of each of its sentences. Knows sentences alone, no document."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from operator import itemgetter
from typing import TypeAlias

from pipelines.stages.sentence import Done

_Chain: TypeAlias = "tuple[_Chain, Done] | None"
"""A choice for each sentence so far, the last one first: chains share what they begin with."""


def best_combinations(done: Sequence[Done], num_wanted: int) -> list[list[Done]]:
    """Choices for all sentences, the likeliest first.

    A combination's score is the sum over its sentences, each weighed by its tokens. What a choice adds depends on no
    other, so the best combinations of all sentences begin with best combinations of those before the last.

    Args:
        done: The sentences of a text, each with its other hypotheses.
        num_wanted: How many combinations; there may be fewer.
    """
    best: list[tuple[float, _Chain]] = [(0.0, None)]
    for each in done:
        weight = max(1, each.translation.num_target_tokens)
        choices = [(weight * (choice.translation.score or 0.0), choice) for choice in _distinct(each)]
        longer: list[tuple[float, _Chain]] = [
            (score + more, (chain, choice)) for score, chain in best for more, choice in choices
        ]
        best = heapq.nlargest(num_wanted, longer, key=itemgetter(0))
    return [_unrolled(chain) for _, chain in best]


def _distinct(done: Done) -> list[Done]:
    choices: dict[str, Done] = {}
    for choice in (done, *done.others):
        choices.setdefault(choice.translation.text, choice)
    return list(choices.values())


def _unrolled(chain: _Chain) -> list[Done]:
    chosen: list[Done] = []
    while chain is not None:
        chain, choice = chain
        chosen.append(choice)
    return chosen[::-1]
