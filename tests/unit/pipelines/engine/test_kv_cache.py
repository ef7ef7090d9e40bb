"""What rows remember when others leave, and when beams live on in several rows."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import M2M100Config

from pipelines.engine.kv_cache import KeyValueCache
from pipelines.engine.shape import ModelShape

SHAPE = ModelShape.from_config(M2M100Config(vocab_size=300, d_model=16, encoder_layers=1, decoder_layers=2))
WIDTHS = st.lists(st.integers(1, 3), min_size=1, max_size=6)


def _cache(widths: list[int]) -> KeyValueCache:
    """Return the memory of such groups, in which every row has its own numbers."""
    cache = KeyValueCache(SHAPE, torch.float32, torch.device("cpu"))
    cache.make_room([2] * len(widths), widths)
    cache.append([2] * len(widths), widths)
    cache.make_space()
    cache.advance()
    for memory in (cache.self_kv, cache.cross_kv):
        memory.copy_(torch.arange(memory.numel(), dtype=torch.float32).view(memory.shape))
    return cache


@settings(deadline=None)
@given(widths=WIDTHS, data=st.data())
def test_rows_are_copied_all_at_once(widths: list[int], data: st.DataObject) -> None:
    """A row that is overwritten is read as it was before."""
    cache = _cache(widths)
    rows = list(range(cache.num_rows))
    targets = data.draw(st.lists(st.sampled_from(rows), unique=True))
    sources = data.draw(st.lists(st.sampled_from(rows), min_size=len(targets), max_size=len(targets)))
    expected = cache.self_kv[:, :, :, :, :1].clone()
    expected[:, :, targets] = expected[:, :, sources]
    cache.copy_rows(sources, targets)
    assert torch.equal(cache.self_kv[:, :, :, :, :1], expected)


@settings(deadline=None)
@given(widths=WIDTHS, data=st.data())
def test_who_stays_keeps_what_it_remembers(widths: list[int], data: st.DataObject) -> None:
    """Whoever leaves, and whoever moves into its place."""
    cache = _cache(widths)
    of_groups = [cache.cross_kv[:, :, group].clone() for group in range(len(widths))]
    of_rows = list(torch.split(cache.self_kv[:, :, : cache.num_rows, :, :1].clone(), widths, dim=2))
    order = cache.drop(data.draw(st.sets(st.sampled_from(range(len(widths))))))
    assert cache.widths == [widths[group] for group in order]
    for index, (group, rows) in enumerate(zip(order, _rows(cache), strict=True)):
        assert torch.equal(cache.cross_kv[:, :, index, :, :2], of_groups[group][:, :, :, :2])
        assert torch.equal(rows, of_rows[group])


def _rows(cache: KeyValueCache) -> list[torch.Tensor]:
    return list(torch.split(cache.self_kv[:, :, : cache.num_rows, :, :1], cache.widths, dim=2))
