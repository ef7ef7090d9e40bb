"""What all layers of one step of the decoder share: positions, lengths, how rows lie in groups, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, repeat
from typing import Protocol

import torch
from torch import Tensor

from pipelines.engine.attention import Lengths
from pipelines.engine.kv_cache import KeyValueCache
from pipelines.engine.shape import ModelShape
from pipelines.engine.transfer import integers


class Step(Protocol):
    """A prepared step.

    Between attentions rows may lie in another order than in the cache.

    Attributes:
        ids: `[rows]`, in the step's order.
        positions: `[rows]`, of the table of positions, in the step's order.
        self_kv: `[layers, 2, rows, heads, capacity, head_dim]`.
        cross_kv: `[layers, 2, groups, heads, capacity, head_dim]`.
        self_lengths: Of the rows, the new token included.
        cross_lengths: Of the groups.
        align: Whether what the rows attend to is wanted.
    """

    ids: Tensor
    positions: Tensor
    self_kv: Tensor
    cross_kv: Tensor
    self_lengths: Lengths
    cross_lengths: Lengths
    align: bool

    def to_step_order(self, rows: Tensor) -> Tensor:
        """From the cache's order to the step's."""
        ...

    def to_cache_order(self, rows: Tensor) -> Tensor:
        """Undo `to_step_order`."""
        ...

    def write(self, memory: Tensor, keys_values: Tensor) -> None:
        """Store `keys_values [rows, 2, heads, head_dim]`, in the cache's order, at each row's position of a layer."""
        ...

    def to_groups(self, rows: Tensor) -> Tensor:
        """From the step's order `[rows, d]` to `[groups, widest group, d]`; narrower groups repeat their last row."""
        ...

    def to_rows(self, groups: Tensor) -> Tensor:
        """Undo `to_groups`."""
        ...


class ExactStep(Step):
    """The live rows and nothing else, by the operations that these rows need.

    Args:
        tokens: One id per row, in the cache's order.
        cache: With space for one more position.
        shape: Of the model.
        dtype: Of activations.
        order: `order[i]` is the cache's row of the step's row i. None is the cache's own order, which costs nothing.
        align: See `Step`.
    """

    def __init__(
        self,
        tokens: Sequence[int],
        cache: KeyValueCache,
        shape: ModelShape,
        dtype: torch.dtype,
        order: list[int] | None,
        *,
        align: bool,
    ) -> None:
        self.align = align
        self.self_kv = cache.self_kv[:, :, : cache.num_rows]
        self.cross_kv = cache.cross_kv[:, :, : len(cache.widths)]
        self._widths = cache.widths
        self._device = cache.self_kv.device
        self._positions = list(chain.from_iterable(map(repeat, cache.positions, cache.widths)))
        self.self_lengths = Lengths.of([p + 1 for p in self._positions], dtype, self._device)
        self.cross_lengths = Lengths.of(cache.source_lengths, dtype, self._device)
        self._same_position = min(self._positions) == max(self._positions)
        self._position_ids = self._tensor(self._positions)
        self._rows = torch.arange(len(self._positions), device=self._device)
        self._order: Tensor | None = None
        self._places: Tensor | None = None
        if order is not None and order != sorted(order):
            self._order = self._tensor(order)
            self._places = self._order.argsort()
        self._widest = max(cache.widths)
        self._padded: Tensor | None = None
        self._unpadded: Tensor | None = None
        if self._order is not None or min(cache.widths) < self._widest:
            self._padded, self._unpadded = self._padding()
        self.ids = self.to_step_order(self._tensor(tokens))
        self.positions = table_rows(self.ids, self.to_step_order(self._position_ids), shape)

    def to_step_order(self, rows: Tensor) -> Tensor:
        """See `Step`."""
        return rows if self._order is None else rows.index_select(0, self._order)

    def to_cache_order(self, rows: Tensor) -> Tensor:
        """See `Step`."""
        return rows if self._places is None else rows.index_select(0, self._places)

    def write(self, memory: Tensor, keys_values: Tensor) -> None:
        """See `Step`."""
        if self._same_position:
            memory[:, :, :, self._positions[0]] = keys_values.transpose(0, 1)
        else:
            memory[:, self._rows, :, self._position_ids] = keys_values.to(memory.dtype)

    def to_groups(self, rows: Tensor) -> Tensor:
        """See `Step`."""
        if self._padded is None:
            return rows.view(len(self._widths), self._widest, -1)
        return rows.index_select(0, self._padded).view(-1, self._widest, rows.shape[1])

    def to_rows(self, groups: Tensor) -> Tensor:
        """See `Step`."""
        flat = groups.reshape(-1, groups.shape[-1])
        return flat if self._unpadded is None else flat.index_select(0, self._unpadded)

    def _padding(self) -> tuple[Tensor, Tensor]:
        padded, unpadded = (self._tensor(indices) for indices in pad_groups(self._widths))
        return padded if self._places is None else self._places[padded], self.to_step_order(unpadded)

    def _tensor(self, values: Sequence[int]) -> Tensor:
        return integers(values, self._device)


def pad_groups(widths: Sequence[int]) -> tuple[list[int], list[int]]:
    """Return the row of each place of groups padded to the widest, and the place of each row."""
    widest = max(widths)
    padded: list[int] = []
    unpadded: list[int] = []
    first = 0
    for group, width in enumerate(widths):
        padded += [first + min(i, width - 1) for i in range(widest)]
        unpadded += [group * widest + i for i in range(width)]
        first += width
    return padded, unpadded


def table_rows(ids: Tensor, positions: Tensor, shape: ModelShape) -> Tensor:
    """Return rows of the table of positions; a padding token has position zero, as in the reference."""
    return (positions + shape.pad_id + 1).masked_fill_(ids == shape.pad_id, shape.pad_id)
