"""Layers and adapters as the kernels read them."""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import Array, Structure, addressof, c_int64, c_void_p
from itertools import accumulate, chain, repeat
from typing import Any
from weakref import WeakKeyDictionary

from torch import Tensor

from pipelines.engine.int8 import OwnLinear
from pipelines.engine.kernels import structures
from pipelines.engine.kernels.functions import WIDTH_MULTIPLE
from pipelines.engine.lora import Adapter, LowRank, Up, order_by_adapter
from pipelines.engine.weights import LINEARS, DecoderLayer, EncoderLayer, LayerNorm

_WIDEST_HEAD = 128
_MOST_RANK = 1024 // 3  # of each of the three modules that are fused in a layer
_STRUCTURES: dict[str, tuple[str, type[Structure], type[Structure]]] = {
    "encoder": ("encoder", structures.EncoderLayer, structures.EncoderAdditions),
    "cross": ("decoder", structures.CrossLayer, structures.CrossAdditions),
    "decoder": ("decoder", structures.DecoderLayer, structures.DecoderAdditions),
}

Layer = EncoderLayer | DecoderLayer


class FusedLayers:
    """What one kernel runs of the layers of one side.

    Args:
        part: `encoder`; `decoder`, of a step; or `cross`, the decoder's keys and values of sources.
        layers: Such that `are_possible`.

    Attributes:
        layers: As the kernels read them; their memory is that of `layers`.
    """

    def __init__(self, part: str, layers: Sequence[Layer]) -> None:
        self._side, structure, self._additions = _STRUCTURES[part]
        self.layers = (structure * len(layers))(*[_layer(layer, structure) for layer in layers])
        self._inner_width = self.layers[0].fc1.num_outputs if hasattr(structure, "fc1") else 0
        # Weakly: a lane without rows must not keep an adapter that is unloaded.
        self._of_adapters: WeakKeyDictionary[Adapter, Array[Any]] = WeakKeyDictionary()

    @staticmethod
    def are_possible(side: str, layers: Sequence[Layer], head_dim: int) -> bool:
        """Whether the kernels can run them."""
        linears = [getattr(layer, name) for layer in layers for name in LINEARS[side]]
        return (
            all(isinstance(linear, OwnLinear) for linear in linears)
            and head_dim % WIDTH_MULTIPLE == 0
            and head_dim <= _WIDEST_HEAD
        )

    @staticmethod
    def take(adapters: Sequence[Adapter | None]) -> bool:
        """Whether the kernels can apply these."""
        return not any(adapter.rank > _MOST_RANK for adapter in adapters if adapter is not None)

    def rows(self, hidden: Tensor, adapters: Sequence[Adapter | None]) -> structures.Rows:
        """Return rows that are to pass through the layers.

        Args:
            hidden: `[rows, d_model]`, contiguous, in float32; the layers' output takes its place.
            adapters: Of each row.
        """
        num_rows, width = hidden.shape
        present = {adapter for adapter in adapters if adapter is not None}
        for adapter in present:
            if adapter not in self._of_adapters:
                self._of_adapters[adapter] = self._added_by(adapter)
        return structures.Rows(
            num_rows=num_rows,
            width=width,
            inner_width=self._inner_width,
            order=(c_int64 * num_rows)(*(order_by_adapter(adapters) if present else range(num_rows))),
            adapters=(c_void_p * num_rows)(*map(self._address, adapters)) if present else None,
            hidden=hidden.data_ptr(),
        )

    def tokens(self, hidden: Tensor, adapters: Sequence[Adapter | None], lengths: Sequence[int]) -> structures.Tokens:
        """Return rows that are the tokens of sources.

        Args:
            hidden: As of `rows`, the sources one after the other.
            adapters: Of each source.
            lengths: Of each source, in tokens.
        """
        rows = self.rows(hidden, list(chain.from_iterable(map(repeat, adapters, lengths))))
        return structures.Tokens(rows, len(lengths), (c_int64 * len(lengths))(*accumulate(lengths)))

    def _address(self, adapter: Adapter | None) -> int | None:
        return None if adapter is None else addressof(self._of_adapters[adapter])

    def _added_by(self, adapter: Adapter) -> Array[Any]:
        def addition(index: int, name: str) -> structures.LowRank:
            low_rank = adapter.layers.get((self._side, index, name))
            return structures.LowRank() if low_rank is None else _low_rank(low_rank)

        names = [name for name, *_ in self._additions._fields_]
        return (self._additions * len(self.layers))(
            *[self._additions(*[addition(index, name) for name in names]) for index in range(len(self.layers))]
        )


def norm_of(norm: LayerNorm) -> structures.Norm:
    """Return a norm as the kernels read it; its memory is that of `norm`."""
    return structures.Norm(norm.weight.data_ptr(), norm.bias.data_ptr())


def _layer(layer: Layer, structure: type[Structure]) -> Structure:
    parts = [getattr(layer, name) for name, *_ in structure._fields_]
    return structure(*[norm_of(part) if isinstance(part, LayerNorm) else part.layer for part in parts])


def _low_rank(low_rank: LowRank) -> structures.LowRank:
    ups = (structures.Up * len(low_rank.ups))(*map(_up, low_rank.ups))
    return structures.LowRank(len(low_rank.down), len(ups), low_rank.down.data_ptr(), ups)


def _up(up: Up) -> structures.Up:
    num_ranks, num_outputs = up.weight.shape
    rescale = () if up.rescale is None else (up.rescale.factor.data_ptr(), up.rescale.shift.data_ptr())
    return structures.Up(up.columns.start, num_outputs, up.ranks.start, num_ranks, up.weight.data_ptr(), *rescale)
