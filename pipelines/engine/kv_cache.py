"""Keys and values of the rows being decoded, kept compact: row i of the batch is row i of the memory.

A *group* is one source and the rows decoded from it: one row in greedy search, `width` rows in beam search, which
share the source's cross-attention keys and values. Knows no weights and no tokens.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from pipelines.engine.footprint import rounded
from pipelines.engine.shape import ModelShape
from pipelines.engine.transfer import integers


class KeyValueCache:
    """Memory of the self-attention, `self_kv`, and of the cross-attention, `cross_kv`.

    `[layers, 2 (keys, values), rows, heads, positions, head_dim]`, and likewise with groups and source tokens.
    Memory grows by doubling to what the live rows need and is kept, so that a busy engine allocates nothing; where
    that would be more than the bound, what the live rows do not need is given back.

    Args:
        shape: Of the model.
        dtype: Of keys and values.
        device: That the memory is on.
        max_tokens: The bound, in tokens that there is memory for; live rows that need more have it.
    """

    def __init__(
        self, shape: ModelShape, dtype: torch.dtype, device: torch.device, max_tokens: float = math.inf
    ) -> None:
        self._max_tokens = max_tokens
        self._shape = shape
        self._dtype = dtype
        self._device = device
        self.widths: list[int] = []
        self.source_lengths: list[int] = []
        self.positions: list[int] = []
        self.self_kv = self._zeros(0, 0)
        self.cross_kv = self._zeros(0, 0)

    @property
    def num_rows(self) -> int:
        """Live rows of all groups."""
        return sum(self.widths)

    @property
    def longest(self) -> int:
        """Positions of the row that has most."""
        return max([*self.positions, 0])

    def join(self, cross_kv: Iterable[Tensor], source_lengths: Sequence[int], widths: Sequence[int]) -> None:
        """Append groups. Nothing has changed if it raises.

        Args:
            cross_kv: Of each layer, `[total source tokens, 2, heads, head_dim]`, the sources one after the other.
            source_lengths: Tokens of each source.
            widths: Rows of each group.
        """
        self.make_room(source_lengths, widths)
        first = len(self.widths)
        if self._device.type == "cpu":
            for memory, keys_values in zip(self.cross_kv, cross_kv, strict=True):
                for index, source in enumerate(torch.split(keys_values, list(source_lengths)), start=first):
                    memory[:, index, :, : len(source)] = source.permute(1, 2, 0, 3)
        else:  # a launch for each source and layer would take longer than what it writes
            groups = [first + index for index, length in enumerate(source_lengths) for _ in range(length)]
            positions = [position for length in source_lengths for position in range(length)]
            places = integers(groups, self._device), integers(positions, self._device)
            for memory, keys_values in zip(self.cross_kv, cross_kv, strict=True):
                memory[:, places[0], :, places[1]] = keys_values.to(memory.dtype)
        self.append(source_lengths, widths)

    def make_room(self, source_lengths: Sequence[int], widths: Sequence[int]) -> None:
        """Have memory for more groups."""
        num_groups, longest = len(self.widths) + len(widths), max(self._longest_source, *source_lengths)
        self._resize(num_groups, longest, self.num_rows + sum(widths), self.longest)

    def append(self, source_lengths: Sequence[int], widths: Sequence[int]) -> None:
        """Count groups whose `cross_kv` has been written behind that of the others."""
        self.widths += widths
        self.source_lengths += source_lengths
        self.positions += [0] * len(widths)

    def make_space(self, num_rows: int = 0) -> None:
        """Have memory for one more position of every row, and for so many rows, dead ones included."""
        self._resize(len(self.widths), self._longest_source, max(self.num_rows, num_rows), self.longest + 1)

    def advance(self) -> None:
        """Count the position that was just written."""
        self.positions = [position + 1 for position in self.positions]

    def copy_rows(self, sources: list[int], targets: list[int]) -> None:
        """Overwrite rows by other rows, all at once; a beam that has two heirs lives on in both."""
        if sources:
            _copy(self.self_kv, sources, targets, self.longest)

    def drop(self, groups: set[int]) -> list[int]:
        """Remove groups and close the holes.

        Returns:
            The surviving groups' former indices, in their new order.
        """
        order = plan_compaction(self.widths, groups)
        first_row = [sum(self.widths[:index]) for index in range(len(self.widths))]
        rows = [row for group in order for row in range(first_row[group], first_row[group] + self.widths[group])]
        survivors = [self.positions[group] for group in order]
        _move(self.self_kv, rows, max(survivors, default=0))
        lengths = [self.source_lengths[group] for group in order]
        _move(self.cross_kv, order, max(lengths, default=0))
        self.widths = [self.widths[group] for group in order]
        self.source_lengths, self.positions = lengths, survivors
        if not order:
            self._resize(0, 0, 0, 0)  # one that had to have more than the bound leaves it to nobody
        return order

    @property
    def _longest_source(self) -> int:
        return max([*self.source_lengths, 0])

    def _zeros(self, rows: int, length: int) -> Tensor:
        layers, heads = self._shape.num_decoder_layers, self._shape.num_decoder_heads
        head_dim = self._shape.d_model // heads
        # Zeros, because what attention masks out must still be finite.
        return torch.zeros(layers, 2, rows, heads, length, head_dim, dtype=self._dtype, device=self._device)

    def _resize(self, num_groups: int, source_length: int, num_rows: int, length: int) -> None:
        """Have memory for at least so much."""
        cross, own = rounded(num_groups, source_length), rounded(num_rows, length)
        kept = _not_less(cross, self.cross_kv), _not_less(own, self.self_kv)
        if sum(map(math.prod, kept)) <= self._max_tokens:
            cross, own = kept
        self.cross_kv = self._resized(self.cross_kv, *cross, len(self.widths), self._longest_source)
        self.self_kv = self._resized(self.self_kv, *own, self.num_rows, self.longest)

    def _resized(self, memory: Tensor, rows: int, length: int, live_rows: int, live_length: int) -> Tensor:
        """Return memory of that size with the live part of the old one's content."""
        if (memory.shape[2], memory.shape[4]) == (rows, length):
            return memory
        resized = self._zeros(rows, length)
        resized[:, :, :live_rows, :, :live_length] = memory[:, :, :live_rows, :, :live_length]
        return resized


def _not_less(size: tuple[int, int], memory: Tensor) -> tuple[int, int]:
    return max(size[0], memory.shape[2]), max(size[1], memory.shape[4])


def plan_compaction(widths: Sequence[int], dropped: set[int]) -> list[int]:
    """Return the surviving groups in an order without holes that moves as few rows as it simply can.

    A hole is filled by the last survivor of the same width; if widths differ, what follows the hole moves up.
    """
    order: list[int | None] = [None if group in dropped else group for group in range(len(widths))]
    for hole in sorted(dropped):
        for candidate in range(len(order) - 1, hole, -1):
            group = order[candidate]
            if group is not None and widths[group] == widths[hole]:
                order[hole], order[candidate] = group, None
                break
    return [group for group in order if group is not None]


def _move(memory: Tensor, order: Sequence[int], length: int) -> None:
    sources = [source for target, source in enumerate(order) if source != target]
    if sources:
        _copy(memory, sources, [target for target, source in enumerate(order) if source != target], length)


def _copy(memory: Tensor, sources: list[int], targets: list[int], length: int) -> None:
    live = memory[:, :, :, :, :length]
    is_read_too_late = any(source in targets[:index] for index, source in enumerate(sources))
    if memory.device.type != "cpu" or is_read_too_late:
        live[:, :, targets] = live[:, :, sources]
        return
    for source, target in zip(sources, targets, strict=True):  # a fourth of the time of all at once, through a copy
        live[:, :, target].copy_(live[:, :, source])
