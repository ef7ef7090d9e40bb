"""Attention over sources and caches of many lengths: however it is computed, the numbers are the same."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from pipelines.engine.attention import Lengths, PackedSources, attend

CPU = torch.device("cpu")
LENGTHS = st.lists(st.integers(1, 9), min_size=1, max_size=6)


@given(lengths=LENGTHS)
def test_padded_sources_attend_as_each_alone(lengths: list[int]) -> None:
    """What is padded is neither attended to nor returned."""
    qkv = torch.randn(sum(lengths), 3, 2, 4, generator=torch.Generator().manual_seed(0))
    padded, alone = (PackedSources(lengths, torch.float32, CPU, padded=padded) for padded in (True, False))
    torch.testing.assert_close(padded.attend(qkv), alone.attend(qkv))


@given(lengths=LENGTHS, beyond=st.integers(0, 5))
def test_lengths_on_the_device_mask_what_exact_ones_leave_out(lengths: list[int], beyond: int) -> None:
    """The same operations serve any lengths up to a bound."""
    longest, generator = max(lengths) + beyond, torch.Generator().manual_seed(0)
    query = torch.randn(len(lengths), 2, 3, 4, generator=generator)
    keys, values = torch.randn(2, len(lengths), 2, longest, 4, generator=generator)
    within = Lengths.within(torch.tensor(lengths), longest, torch.float32)
    exact = attend(query, keys, values, Lengths.of(lengths, torch.float32, CPU))
    torch.testing.assert_close(attend(query, keys, values, within), exact)
