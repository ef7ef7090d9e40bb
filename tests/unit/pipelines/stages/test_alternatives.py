"""The best combinations of the sentences' hypotheses, against all of them."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.stages.alternatives import best_combinations
from pipelines.stages.sentence import Done
from pipelines.types import Translation

SENTENCES = st.lists(
    st.tuples(st.integers(0, 9), st.lists(st.floats(-5, 0), min_size=1, max_size=4)), min_size=1, max_size=4
)


def _done(num_tokens: int, scores: list[float]) -> Done:
    first, *others = [
        Done(Translation(f"{place}", score=score, num_target_tokens=num_tokens)) for place, score in enumerate(scores)
    ]
    return Done(first.translation, others=others)


def _sum(chosen: list[Done]) -> float:
    return sum(max(1, each.translation.num_target_tokens) * (each.translation.score or 0.0) for each in chosen)


@given(SENTENCES, st.integers(1, 8))
def test_they_are_the_best_of_all(sentences: list[tuple[int, list[float]]], num_wanted: int) -> None:
    """As good as the best of every combination that there is, in order, and no two are the same."""
    done = [_done(*each) for each in sentences]
    every = sorted((_sum(list(each)) for each in itertools.product(*([d, *d.others] for d in done))), reverse=True)
    found = best_combinations(done, num_wanted)
    assert [_sum(each) for each in found] == pytest.approx(every[:num_wanted])
    assert len({tuple(each.translation.text for each in chosen) for chosen in found}) == len(found)


def test_equal_hypotheses_are_one() -> None:
    """Two hypotheses of one text are no two alternatives."""
    twice = Done(Translation("a", score=-1.0), others=[Done(Translation("a", score=-2.0))])
    assert [[each.translation.score for each in chosen] for chosen in best_combinations([twice], 4)] == [[-1.0]]


def test_a_long_text_costs_little() -> None:
    """Thousands of sentences share what their combinations begin with."""
    done = [_done(1, [-0.1, -0.2, -0.3, -0.4]) for _ in range(3000)]
    first, *others = best_combinations(done, 4)
    assert {each.translation.score for each in first} == {-0.1}
    assert [sum(each.translation.score != -0.1 for each in chosen) for chosen in others] == [1, 1, 1]
