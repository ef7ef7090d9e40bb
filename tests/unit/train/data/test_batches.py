"""Batches hold every pair once per epoch, keep to their budget, and are the same for the same seed."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from train.data.batches import BatchPlan

LENGTHS = st.lists(st.integers(2, 60), min_size=1, max_size=80)


@given(LENGTHS, st.integers(1, 9), st.none() | st.integers(2, 200), st.integers(0, 5))
def test_an_epoch_holds_every_pair_once_within_the_bounds(
    lengths: list[int], size: int, budget: int | None, seed: int
) -> None:
    """Of any lengths; a pair over the budget stands alone."""
    plan = BatchPlan(np.array(lengths), size, budget, seed)
    for epoch in range(2):
        first = epoch * plan.batches_per_epoch
        batches = [plan.batch(first + place) for place in range(plan.batches_per_epoch)]
        assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
        for batch in batches:
            padded = len(batch) * max(lengths[row] for row in batch)
            assert len(batch) <= size
            assert budget is None or padded <= budget or len(batch) == 1


def test_pairs_of_like_length_meet() -> None:
    """Padding is a few percent where batches by chance would waste a third."""
    lengths = np.random.default_rng(0).integers(5, 60, 2000)
    plan = BatchPlan(lengths, 32, 1024, seed=1)
    batches = [plan.batch(index) for index in range(plan.batches_per_epoch)]
    padded = sum(len(batch) * lengths[batch].max() for batch in batches)
    assert padded < 1.03 * lengths.sum()


def test_the_same_seed_gives_the_same_sequence_from_any_place() -> None:
    """Which is what resuming needs; another seed or epoch gives another one."""
    lengths = np.random.default_rng(0).integers(5, 60, 500)
    plan, other = (BatchPlan(lengths, 16, None, seed) for seed in (7, 8))
    num = plan.batches_per_epoch
    sequence = [plan.batch(index).tolist() for index in range(2 * num)]
    again = BatchPlan(lengths, 16, None, 7)
    assert [again.batch(index).tolist() for index in (num + 3, 5, 0)] == [sequence[each] for each in (num + 3, 5, 0)]
    assert sequence[:num] != sequence[num:]
    assert sequence[:num] != [other.batch(index).tolist() for index in range(num)]
