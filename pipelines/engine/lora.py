"""Low-rank adapters applied row by row: each row of a batch has its own, or none, and the base weights are shared.

A linear layer with adapters computes the base product for all rows at once, in whatever the backend is, and then adds
to each adapter's rows `scale * B A x` (Hu et al. 2021, https://arxiv.org/abs/2106.09685). DoRA (Liu et al. 2024,
https://arxiv.org/abs/2402.09353) gives each output of the adapted weight another length, which is one more factor per
output. Nothing is merged, so an adapter is ready as soon as its matrices are in memory, and a batch without adapters
runs the plain layers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, TypeVar

import torch
from torch import Tensor

from pipelines.engine.linear import Linear
from pipelines.engine.weights import LINEARS, DecoderLayer, EncoderLayer

LayerKey = tuple[str, int, str]
"""Side, layer and name of a linear layer, such as `("decoder", 3, "qkv")`."""

L = TypeVar("L", EncoderLayer, DecoderLayer)


@dataclass(frozen=True, slots=True)
class Rescale:
    """What DoRA makes of a base layer's output `y`: `factor * y + shift`.

    Attributes:
        factor: `[out_features]`, the learned magnitude over the length of the adapted weight's row.
        shift: `[out_features]`, which gives back of the bias what the factor took: it is not rescaled.
    """

    factor: Tensor
    shift: Tensor


@dataclass(frozen=True, slots=True)
class Up:
    """The second factor of one module within a fused layer.

    Attributes:
        columns: Which outputs of the layer are the module's.
        ranks: Which outputs of `LowRank.down` are its inputs.
        weight: `[rank, out_features]`, the scale and DoRA's factor included.
        rescale: DoRA's, of the base layer's output; None without it.
    """

    columns: slice
    ranks: slice
    weight: Tensor
    rescale: Rescale | None = None

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All that is held."""
        return (self.weight,) if self.rescale is None else (self.weight, self.rescale.factor, self.rescale.shift)


@dataclass(frozen=True, slots=True)
class LowRank:
    """What an adapter adds to one linear layer: `down [ranks, in_features]` for all modules fused in it, then `ups`."""

    down: Tensor
    ups: tuple[Up, ...]

    @property
    def num_bytes(self) -> int:
        """Of all matrices."""
        return self.down.nbytes + sum(tensor.nbytes for up in self.ups for tensor in up.tensors)

    def add(self, y: Tensor, x: Tensor, rows: slice) -> None:
        """Add the adapter's share of `x [n, in_features]` to `y [n, out_features]`, in some rows alone."""
        inner = torch.mm(x[rows], self.down.t())
        for up in self.ups:
            part = y[rows, up.columns]
            if up.rescale is not None:
                torch.addcmul(up.rescale.shift, part, up.rescale.factor, out=part)
            part.addmm_(inner[:, up.ranks], up.weight)


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Adapter:
    """An adapter in memory, ready to be applied; immutable, and its own identity.

    Attributes:
        rank: The largest of its targets.
        layers: What it adds to the layers that it changes.
    """

    rank: int
    layers: Mapping[LayerKey, LowRank]

    @property
    def num_bytes(self) -> int:
        """Of all matrices."""
        return sum(low_rank.num_bytes for low_rank in self.layers.values())


class AdaptedLinear:
    """A `Linear` that adds to some rows what their adapters say."""

    def __init__(self, base: Linear, additions: Sequence[tuple[slice, LowRank]]) -> None:
        self._base = base
        self._additions = additions

    def __call__(self, x: Tensor) -> Tensor:
        """See `Linear`."""
        y = self._base(x)
        for rows, low_rank in self._additions:
            low_rank.add(y, x, rows)
        return y


def order_by_adapter(adapters: Sequence[Adapter | None]) -> list[int]:
    """Return the indices of rows in an order in which those of one adapter lie together, otherwise as they are."""
    first: dict[Adapter | None, int] = {}
    for index, adapter in enumerate(adapters):
        first.setdefault(adapter, index)
    return sorted(range(len(adapters)), key=lambda index: first[adapters[index]])


def adapt_layers(
    layers: Sequence[L], side: str, adapters: Sequence[Adapter | None], lengths: Sequence[int] | None = None
) -> Sequence[L]:
    """Return layers that treat each row by its adapter; the layers themselves if no row has one.

    Args:
        layers: Of the encoder or decoder.
        side: `encoder` or `decoder`.
        adapters: Of each row; rows of one adapter lie together, see `order_by_adapter`.
        lengths: Of each row, where a row is several lines of the layers' input; None means one each.
    """
    if not any(adapters):
        return layers
    rows = _rows_of(adapters, lengths or [1] * len(adapters))
    return [_adapt_layer(layer, side, index, rows) for index, layer in enumerate(layers)]


def _rows_of(adapters: Sequence[Adapter | None], lengths: Sequence[int]) -> dict[Adapter, slice]:
    """Return where each adapter's lines are."""
    rows: dict[Adapter, slice] = {}
    first = 0
    for adapter, run in groupby(zip(adapters, lengths, strict=True), key=lambda row: row[0]):
        last = first + sum(length for _, length in run)
        if adapter is not None:
            if adapter in rows:
                raise ValueError("the rows of an adapter do not lie together")
            rows[adapter] = slice(first, last)
        first = last
    return rows


def _adapt_layer(layer: L, side: str, index: int, rows: Mapping[Adapter, slice]) -> L:
    changed: dict[str, Any] = {}
    for name in LINEARS[side]:
        key = (side, index, name)
        additions = [(where, adapter.layers[key]) for adapter, where in rows.items() if key in adapter.layers]
        if additions:
            changed[name] = AdaptedLinear(getattr(layer, name), additions)
    return replace(layer, **changed) if changed else layer
