"""What rows remember when others leave, and when beams live on in several rows."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import M2M100Config

from pipelines.engine.fixed_step import StepSizes
from pipelines.engine.kv_cache import KeyValueCache
from pipelines.engine.scheduler import Scheduler, Ticket
from pipelines.engine.shape import ModelShape

SHAPE = ModelShape.from_config(M2M100Config(vocab_size=300, d_model=16, encoder_layers=1, decoder_layers=2))
MAX_TOKENS = 700
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


@settings(deadline=None, max_examples=50)
@given(data=st.data())
def test_no_more_is_held_than_the_scheduler_counts(data: st.DataObject) -> None:
    """Whoever comes, grows and leaves, in whatever order: the bound holds, unless one request alone needs more."""
    scheduler = Scheduler(8, max_cached_tokens=MAX_TOKENS)
    cache = KeyValueCache(SHAPE, torch.float32, torch.device("cpu"), MAX_TOKENS)
    keys: list[int] = []
    tickets = {
        key: Ticket(key, *numbers)
        for key, numbers in enumerate(
            data.draw(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 90), st.integers(1, 90)), max_size=12))
        )
    }
    for ticket in tickets.values():
        scheduler.add(ticket)
    while scheduler.waiting or keys:
        joining = scheduler.admit()
        if joining:
            lengths, widths = [each.num_source_tokens for each in joining], [each.num_rows for each in joining]
            cache.make_room(lengths, widths)
            cache.append(lengths, widths)
            keys += [each.key for each in joining]
        for _ in range(data.draw(st.integers(1, 40))):
            ended = {at for at, key in enumerate(keys) if cache.positions[at] == tickets[key].num_target_tokens}
            if ended:
                break
            recorded = StepSizes.of(cache, align=False, adapted=False)
            cache.make_space(recorded.rows)
            cache.advance()
            assert _held(cache) <= MAX_TOKENS or len(keys) == 1
        for at in ended:
            scheduler.leave(keys[at])
        keys = [keys[at] for at in cache.drop(ended)]
    assert _held(cache) <= MAX_TOKENS


def _held(cache: KeyValueCache) -> int:
    return sum(memory.shape[2] * memory.shape[4] for memory in (cache.self_kv, cache.cross_kv))


def _rows(cache: KeyValueCache) -> list[torch.Tensor]:
    return list(torch.split(cache.self_kv[:, :, : cache.num_rows, :, :1], cache.widths, dim=2))
