"""What a batch takes: powers of two of sequences and of lengths, for rows and for sources."""

from __future__ import annotations

import pytest

from pipelines.engine.footprint import Footprint


@pytest.mark.parametrize(
    ("groups", "num_tokens"),
    [
        ([], 1 * 16 + 1 * 16),
        ([(1, 5, 9)], 1 * 16 + 1 * 16),
        ([(1, 5, 9)] * 5, 8 * 16 + 8 * 16),
        ([(1, 5, 9), (1, 40, 100), (1, 5, 9)], 4 * 128 + 4 * 64),
        ([(5, 5, 9)] * 3, 32 * 16 + 4 * 16),  # a recorded step computes four beams
        ([(5, 5, 9)] * 3 + [(1, 5, 9)], 32 * 16 + 4 * 16),  # so it does once the narrow one has left
    ],
)
def test_sequences_have_the_length_of_the_longest(groups: list[tuple[int, int, int]], num_tokens: int) -> None:
    """Targets of all rows, and sources of all groups, rounded up as the cache and a recorded step do."""
    footprint = Footprint()
    for group in groups:
        footprint = footprint.plus(*group)
    assert footprint.num_tokens == num_tokens
