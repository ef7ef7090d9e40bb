"""A step of the decoder whose operations depend on nothing but sizes, so that it can be recorded and replayed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, repeat

import torch
from torch import Tensor

from pipelines.engine.attention import Lengths
from pipelines.engine.footprint import LEAST_LENGTH, power_of_two
from pipelines.engine.kv_cache import KeyValueCache
from pipelines.engine.shape import ModelShape
from pipelines.engine.step import Step, pad_groups, table_rows


@dataclass(frozen=True, slots=True)
class StepSizes:
    """All that the operations of a `FixedStep` depend on; powers of two, so that many steps have the same.

    Attributes:
        rows: At least the live ones.
        groups: Likewise.
        width: Of the widest group.
        even: Whether all groups are as wide.
        self_length: At least the positions of the longest row, the new one included.
        cross_length: At least the tokens of the longest source.
        align: See `Step`.
        adapted: Whether any row has an adapter.
    """

    rows: int
    groups: int
    width: int
    even: bool
    self_length: int
    cross_length: int
    align: bool
    adapted: bool

    @classmethod
    def of(cls, cache: KeyValueCache, *, align: bool, adapted: bool) -> StepSizes:
        """Return those of the next step."""
        width = max(cache.widths)
        even = min(cache.widths) == width
        groups = power_of_two(len(cache.widths))
        return cls(
            rows=groups * width if even else power_of_two(cache.num_rows),
            groups=groups,
            width=width,
            even=even,
            self_length=power_of_two(max(cache.longest + 1, LEAST_LENGTH)),
            cross_length=power_of_two(max(*cache.source_lengths, LEAST_LENGTH)),
            align=align,
            adapted=adapted,
        )

    def inputs(self, tokens: Sequence[int], slots: Sequence[int], cache: KeyValueCache, shape: ModelShape) -> list[int]:
        """Return all numbers that differ from step to step; rows and groups that are not live get harmless ones.

        Args:
            tokens: One id per row.
            slots: One per row, see `AdapterSlots`.
            cache: The rows' memory.
            shape: Of the model.
        """
        idle_rows, idle_groups = self.rows - cache.num_rows, self.groups - len(cache.widths)
        numbers = [*tokens, *repeat(shape.pad_id, idle_rows)]
        numbers += [*chain.from_iterable(map(repeat, cache.positions, cache.widths)), *repeat(0, idle_rows)]
        numbers += [*slots, *repeat(0, idle_rows)]
        numbers += [*cache.source_lengths, *repeat(1, idle_groups)]
        if not self.even:
            padded, unpadded = pad_groups(cache.widths)
            numbers += [*padded, *repeat(0, idle_groups * self.width), *unpadded, *repeat(0, idle_rows)]
        return numbers


class FixedStep(Step):
    """A step whose operations depend on nothing but its sizes, so that they can be recorded and replayed.

    Rows and groups that are not live are computed as well; they write where no live row reads.

    Args:
        inputs: What `StepSizes.inputs` returned.
        sizes: Of the step.
        cache: With space for the step's rows and one more position.
        shape: Of the model.
        dtype: Of activations.
    """

    def __init__(
        self, inputs: Tensor, sizes: StepSizes, cache: KeyValueCache, shape: ModelShape, dtype: torch.dtype
    ) -> None:
        self._sizes = sizes
        parts = [sizes.rows, sizes.rows, sizes.rows, sizes.groups]
        if not sizes.even:
            parts += [sizes.groups * sizes.width, sizes.rows]
        self.ids, self._position_ids, self.slots, source_lengths, *padding = torch.split(inputs, parts)
        self._padding = padding
        self._rows = torch.arange(sizes.rows, device=inputs.device)
        self.align = sizes.align
        self.self_kv = cache.self_kv[:, :, : sizes.rows]
        self.cross_kv = cache.cross_kv[:, :, : sizes.groups]
        self.positions = table_rows(self.ids, self._position_ids, shape)
        self.self_lengths = Lengths.within(self._position_ids + 1, sizes.self_length, dtype)
        self.cross_lengths = Lengths.within(source_lengths, sizes.cross_length, dtype)

    def to_step_order(self, rows: Tensor) -> Tensor:
        """See `Step`: the cache's own."""
        return rows

    def to_cache_order(self, rows: Tensor) -> Tensor:
        """See `Step`."""
        return rows

    def write(self, memory: Tensor, keys_values: Tensor) -> None:
        """See `Step`."""
        memory[:, self._rows, :, self._position_ids] = keys_values.to(memory.dtype)

    def to_groups(self, rows: Tensor) -> Tensor:
        """See `Step`."""
        if self._sizes.even:
            return rows.view(self._sizes.groups, self._sizes.width, -1)
        return rows.index_select(0, self._padding[0]).view(self._sizes.groups, self._sizes.width, -1)

    def to_rows(self, groups: Tensor) -> Tensor:
        """See `Step`."""
        flat = groups.reshape(-1, groups.shape[-1])
        return flat if self._sizes.even else flat.index_select(0, self._padding[1])
