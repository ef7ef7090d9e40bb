"""A network whose step is one call of a kernel, for the CPUs that the kernels are made for."""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import Array, addressof, c_void_p
from itertools import chain, repeat

import torch
from torch import Tensor

from pipelines.engine.encoder import embed
from pipelines.engine.int8 import OwnLinear
from pipelines.engine.kernels import structures
from pipelines.engine.kernels.functions import WIDTH_MULTIPLE, Kernels
from pipelines.engine.kv_cache import KeyValueCache
from pipelines.engine.lora import Adapter, LowRank, Up, order_by_adapter
from pipelines.engine.network import Network, Stepped
from pipelines.engine.shape import ModelShape
from pipelines.engine.step import table_rows
from pipelines.engine.weights import DecoderLayer, LayerNorm, Weights

_FORMATS = {torch.float32: 0, torch.float16: 1, torch.bfloat16: 2}
_WIDEST_HEAD = 128
_MOST_RANK = 1024 // 3  # of each of the three modules that are fused in a layer
_FUSED = [name for name, _ in structures.DecoderLayer._fields_]
_ADAPTED = [name for name, _ in structures.LayerAdditions._fields_]


class FusedNetwork(Network):
    """Gives what `Network` gives.

    Args:
        weights: Such that `is_possible`.
        shape: Of the model.
        kernels: Of this machine.
    """

    def __init__(self, weights: Weights, shape: ModelShape, kernels: Kernels) -> None:
        super().__init__(weights, shape)
        self._weights = weights
        self._shape = shape
        self._run = kernels.decoder_step
        self._layers = (structures.DecoderLayer * len(weights.decoder))(*map(_layer, weights.decoder))
        self._norm = _norm(weights.decoder_norm)
        self._additions: dict[Adapter, Array[structures.LayerAdditions]] = {}  # of the rows of the last step

    @classmethod
    def is_possible(cls, weights: Weights, shape: ModelShape) -> bool:
        """Whether the kernels can run these layers."""
        head_dim = shape.d_model // shape.num_decoder_heads
        linears = [getattr(layer, name) for layer in weights.decoder for name in _ADAPTED]
        return (
            all(isinstance(linear, OwnLinear) for linear in linears)
            and head_dim % WIDTH_MULTIPLE == 0
            and head_dim <= _WIDEST_HEAD
        )

    def step(
        self, tokens: Sequence[int], cache: KeyValueCache, adapters: Sequence[Adapter | None], *, align: bool = False
    ) -> Stepped:
        """See `Network`."""
        if align or any(adapter.rank > _MOST_RANK for adapter in adapters if adapter is not None):
            return super().step(tokens, cache, adapters, align=align)
        cache.make_space()
        order = torch.tensor(order_by_adapter(adapters) if any(adapters) else range(len(adapters)))
        positions = torch.tensor(list(chain.from_iterable(map(repeat, cache.positions, cache.widths))))
        groups = torch.tensor(list(chain.from_iterable(map(repeat, range(len(cache.widths)), cache.widths))))
        source_lengths = torch.tensor(cache.source_lengths)
        ids = torch.tensor(tokens)
        hidden = embed(self._weights, self._shape, ids, table_rows(ids, positions, self._shape))
        step = structures.Step(
            num_layers=len(self._layers),
            num_rows=len(tokens),
            num_heads=self._shape.num_decoder_heads,
            width=self._shape.d_model,
            inner_width=self._layers[0].fc1.num_outputs,
            layers=self._layers,
            norm=self._norm,
            order=order.data_ptr(),
            positions=positions.data_ptr(),
            groups=groups.data_ptr(),
            source_lengths=source_lengths.data_ptr(),
            adapters=self._additions_of(adapters),
            self_kv=_memory(cache.self_kv),
            cross_kv=_memory(cache.cross_kv),
            format=_FORMATS[cache.self_kv.dtype],
            hidden=hidden.data_ptr(),
        )
        self._run(step)
        return hidden, None

    def _additions_of(self, adapters: Sequence[Adapter | None]) -> Array[c_void_p] | None:
        """Return of each row what its adapter adds to the layers; None if no row has one."""
        present = {adapter for adapter in adapters if adapter is not None}
        self._additions = {
            adapter: self._additions.get(adapter) or self._additions_to_layers(adapter) for adapter in present
        }
        if not present:
            return None
        return (c_void_p * len(adapters))(
            *[None if adapter is None else addressof(self._additions[adapter]) for adapter in adapters]
        )

    def _additions_to_layers(self, adapter: Adapter) -> Array[structures.LayerAdditions]:
        def addition(index: int, name: str) -> structures.LowRank:
            low_rank = adapter.layers.get(("decoder", index, name))
            return structures.LowRank() if low_rank is None else _low_rank(low_rank)

        return (structures.LayerAdditions * len(self._layers))(
            *[
                structures.LayerAdditions(*[addition(index, name) for name in _ADAPTED])
                for index in range(len(self._layers))
            ]
        )


def _layer(layer: DecoderLayer) -> structures.DecoderLayer:
    parts = (getattr(layer, name) for name in _FUSED)
    return structures.DecoderLayer(*[part.layer if isinstance(part, OwnLinear) else _norm(part) for part in parts])


def _norm(norm: LayerNorm) -> structures.Norm:
    return structures.Norm(norm.weight.data_ptr(), norm.bias.data_ptr())


def _memory(memory: Tensor) -> structures.Memory:
    """Of `[layers, 2, sequences, heads, capacity, head_dim]`."""
    return structures.Memory(memory.data_ptr(), memory.shape[2], memory.shape[4])


def _low_rank(low_rank: LowRank) -> structures.LowRank:
    ups = (structures.Up * len(low_rank.ups))(*map(_up, low_rank.ups))
    return structures.LowRank(len(low_rank.down), len(ups), low_rank.down.data_ptr(), ups)


def _up(up: Up) -> structures.Up:
    num_ranks, num_outputs = up.weight.shape
    rescale = () if up.rescale is None else (up.rescale.factor.data_ptr(), up.rescale.shift.data_ptr())
    return structures.Up(up.columns.start, num_outputs, up.ranks.start, num_ranks, up.weight.data_ptr(), *rescale)
