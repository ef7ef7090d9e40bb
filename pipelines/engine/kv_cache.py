"""Keys and values of the rows being decoded, kept compact: row i of the batch is row i of the memory.

A *group* is one source and the rows decoded from it: one row in greedy search, `width` rows in beam search, which
share the source's cross-attention keys and values. Knows no weights and no tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from pipelines.engine.shape import ModelShape
from pipelines.engine.transfer import integers

LEAST_LENGTH = 16
"""Positions that there is memory for, at least; from there on they double."""


class KeyValueCache:
    """Memory of the self-attention, `self_kv`, and of the cross-attention, `cross_kv`.

    `[layers, 2 (keys, values), rows, heads, positions, head_dim]`, and likewise with groups and source tokens.
    Memory grows by doubling to what the live rows need and is never given back, so that a busy engine allocates
    nothing.
    """

    def __init__(self, shape: ModelShape, dtype: torch.dtype, device: torch.device) -> None:
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
        num_groups, live = len(self.widths), max([*self.source_lengths, 0])
        longest = max(live, *source_lengths)
        self.cross_kv = self._grown(self.cross_kv, num_groups, live, num_groups + len(widths), longest)
        rows = self.num_rows
        self.self_kv = self._grown(self.self_kv, rows, self.longest, rows + sum(widths), 1)

    def append(self, source_lengths: Sequence[int], widths: Sequence[int]) -> None:
        """Count groups whose `cross_kv` has been written behind that of the others."""
        self.widths += widths
        self.source_lengths += source_lengths
        self.positions += [0] * len(widths)

    def make_space(self, num_rows: int = 0) -> None:
        """Have memory for one more position of every row, and for so many rows, dead ones included."""
        rows, longest = self.num_rows, self.longest
        self.self_kv = self._grown(self.self_kv, rows, longest, max(rows, num_rows), longest + 1)

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
        return order

    def _zeros(self, rows: int, length: int) -> Tensor:
        layers, heads = self._shape.num_decoder_layers, self._shape.num_decoder_heads
        head_dim = self._shape.d_model // heads
        # Zeros, because what attention masks out must still be finite.
        return torch.zeros(layers, 2, rows, heads, length, head_dim, dtype=self._dtype, device=self._device)

    def _grown(self, memory: Tensor, rows: int, length: int, needed_rows: int, needed_length: int) -> Tensor:
        """Return memory of at least the needed size with `rows x length` of the old one's content."""
        if memory.shape[2] >= needed_rows and memory.shape[4] >= needed_length:
            return memory
        new_rows = max(memory.shape[2], power_of_two(needed_rows))
        new_length = max(memory.shape[4], power_of_two(max(needed_length, LEAST_LENGTH)))
        grown = self._zeros(new_rows, new_length)
        grown[:, :, :rows, :, :length] = memory[:, :, :rows, :, :length]
        return grown


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


def power_of_two(number: int) -> int:
    """Return the least one that is not less."""
    return 1 << max(number - 1, 0).bit_length()
