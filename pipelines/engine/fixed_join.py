"""Encoding that depends on nothing but sizes, so that it can be recorded and replayed: every source is padded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat

import torch
from torch import Tensor

from pipelines.engine.attention import PaddedSources
from pipelines.engine.footprint import LEAST_LENGTH, power_of_two
from pipelines.engine.kv_cache import KeyValueCache
from pipelines.engine.shape import ModelShape
from pipelines.engine.step import table_rows


@dataclass(frozen=True, slots=True)
class JoinSizes:
    """All that the operations of a `FixedJoin` depend on; powers of two, so that many joins have the same.

    Attributes:
        sources: At least those that join.
        longest: At least the tokens of the longest.
        adapted: Whether any has an adapter.
    """

    sources: int
    longest: int
    adapted: bool

    @classmethod
    def of(cls, sources: Sequence[Sequence[int]], *, adapted: bool) -> JoinSizes:
        """Return those of a join."""
        return cls(power_of_two(len(sources)), power_of_two(max(LEAST_LENGTH, *map(len, sources))), adapted)

    @property
    def num_lines(self) -> int:
        """Of all sources, padded."""
        return self.sources * self.longest

    def inputs(
        self, sources: Sequence[Sequence[int]], slots: Sequence[int], cache: KeyValueCache, shape: ModelShape
    ) -> list[int]:
        """Return all numbers that differ from join to join; the last source is repeated in the places that are left.

        Args:
            sources: Token ids.
            slots: One per source, see `AdapterSlots`.
            cache: That they join.
            shape: Of the model.
        """
        first = len(cache.widths)
        order = [*range(len(sources)), *repeat(len(sources) - 1, self.sources - len(sources))]
        numbers: list[int] = []
        for index in order:
            source = sources[index]
            numbers += [*source, *repeat(shape.pad_id, self.longest - len(source))]
        numbers += [len(sources[index]) for index in order]
        numbers += [first + index for index in order]
        numbers += [slots[index] for index in order]
        return numbers


class FixedJoin:
    """Sources that are prepared to be encoded.

    Args:
        inputs: What `JoinSizes.inputs` returned.
        sizes: Of the join.
        shape: Of the model.
        dtype: Of activations.

    Attributes:
        ids: `[lines]`, of tokens.
        positions: `[lines]`, of the table of positions.
        slots: `[lines]`, of adapters.
        sources: How the lines attend to each other.
    """

    def __init__(self, inputs: Tensor, sizes: JoinSizes, shape: ModelShape, dtype: torch.dtype) -> None:
        self._sizes = sizes
        self.ids, lengths, self._groups, slots = torch.split(inputs, [sizes.num_lines, *repeat(sizes.sources, 3)])
        places = torch.arange(sizes.longest, device=inputs.device).repeat(sizes.sources)
        self.positions = table_rows(self.ids, places, shape)
        self.slots = slots.repeat_interleave(sizes.longest)
        self.sources = PaddedSources(lengths, sizes.longest, dtype)

    def write(self, memory: Tensor, keys_values: Tensor) -> None:
        """Store `keys_values [lines, 2, heads, head_dim]` in the groups' memory of a layer."""
        padded = keys_values.view(self._sizes.sources, self._sizes.longest, *keys_values.shape[1:])
        memory[:, self._groups, :, : self._sizes.longest] = padded.permute(2, 0, 3, 1, 4).to(memory.dtype)
