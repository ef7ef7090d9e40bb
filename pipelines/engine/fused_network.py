"""A network whose parts are one call of a kernel each, for the CPUs that the kernels are made for."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, repeat

import torch
from torch import Tensor

from pipelines.engine.encoder import embed
from pipelines.engine.fused_encoder import FusedEncoder
from pipelines.engine.fused_layers import FusedLayers, norm_of
from pipelines.engine.kernels import structures
from pipelines.engine.kernels.functions import Kernels
from pipelines.engine.kv_cache import KeyValueCache
from pipelines.engine.lora import Adapter
from pipelines.engine.network import Network, Stepped
from pipelines.engine.shape import ModelShape
from pipelines.engine.step import ExactStep, table_rows
from pipelines.engine.weights import Weights

_FORMATS = {torch.float32: 0, torch.float16: 1, torch.bfloat16: 2}


class FusedNetwork(Network):
    """Gives what `Network` gives, and each row's output is the same to the last bit whatever the others are.

    Not so beside an adapter that `FusedLayers` does not take: then all rows have what `Network` gives.

    Args:
        weights: Such that `is_possible`.
        shape: Of the model.
        kernels: Of this machine.
    """

    def __init__(self, weights: Weights, shape: ModelShape, kernels: Kernels) -> None:
        super().__init__(weights, shape)
        self._encoder = FusedEncoder(weights, shape, kernels)
        self._weights = weights
        self._shape = shape
        self._write_cross_memory = kernels.cross_memory
        self._cross = FusedLayers("cross", weights.decoder)
        self._run = kernels.decoder_step
        self._layers = FusedLayers("decoder", weights.decoder)
        self._norm = norm_of(weights.decoder_norm)

    @classmethod
    def is_possible(cls, weights: Weights, shape: ModelShape) -> bool:
        """Whether the kernels can run these layers."""
        heads = {"encoder": shape.num_encoder_heads, "decoder": shape.num_decoder_heads}
        return all(
            FusedLayers.are_possible(side, getattr(weights, side), shape.d_model // num_heads)
            for side, num_heads in heads.items()
        )

    def step(
        self, tokens: Sequence[int], cache: KeyValueCache, adapters: Sequence[Adapter | None], *, align: bool = False
    ) -> Stepped:
        """See `Network`."""
        if not FusedLayers.take(adapters):
            return super().step(tokens, cache, adapters, align=align)
        cache.make_space()
        positions = torch.tensor(list(chain.from_iterable(map(repeat, cache.positions, cache.widths))))
        groups = torch.tensor(list(chain.from_iterable(map(repeat, range(len(cache.widths)), cache.widths))))
        source_lengths = torch.tensor(cache.source_lengths)
        ids = torch.tensor(tokens)
        hidden = embed(self._weights, self._shape, ids, table_rows(ids, positions, self._shape))
        queries = torch.empty_like(hidden) if align else None
        self._run(
            structures.Step(
                rows=self._layers.rows(hidden, adapters),
                num_layers=len(self._layers.layers),
                layers=self._layers.layers,
                norm=self._norm,
                positions=positions.data_ptr(),
                groups=groups.data_ptr(),
                source_lengths=source_lengths.data_ptr(),
                self_kv=_memory(cache.self_kv),
                cross_kv=_memory(cache.cross_kv),
                aligning_layer=self._decoder.aligning_layer,
                queries=None if queries is None else queries.data_ptr(),
            )
        )
        if queries is None:
            return hidden, None
        # Beside the step and not instead of it: a row's output must not depend on whether another one is aligned.
        step = ExactStep(tokens, cache, self._shape, queries.dtype, None, align=True)
        return hidden, self._decoder.most_attended(queries, step)

    def _remember(
        self,
        encoded: Tensor,
        adapters: Sequence[Adapter | None],
        lengths: Sequence[int],
        widths: Sequence[int],
        cache: KeyValueCache,
    ) -> None:
        if not FusedLayers.take(adapters):
            super()._remember(encoded, adapters, lengths, widths, cache)
            return
        cache.make_room(lengths, widths)
        self._write_cross_memory(
            structures.EncodedSources(
                tokens=self._cross.tokens(encoded, adapters, lengths),
                num_layers=len(self._cross.layers),
                layers=self._cross.layers,
                first_sequence=len(cache.widths),
                memory=_memory(cache.cross_kv),
            )
        )
        cache.append(lengths, widths)


def _memory(memory: Tensor) -> structures.Memory:
    """Of `[layers, 2, sequences, heads, capacity, head_dim]`."""
    return structures.Memory(memory.data_ptr(), *memory.shape[2:], _FORMATS[memory.dtype])
