"""An encoder that is one call of a kernel, for the CPUs that the kernels are made for."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from pipelines.engine.encoder import Encoder, embed
from pipelines.engine.fused_layers import FusedLayers, norm_of
from pipelines.engine.kernels import structures
from pipelines.engine.kernels.functions import Kernels
from pipelines.engine.lora import Adapter
from pipelines.engine.shape import ModelShape
from pipelines.engine.weights import Weights


class FusedEncoder(Encoder):
    """Gives what `Encoder` gives.

    Args:
        weights: Whose layers `FusedLayers` takes.
        shape: Of the model.
        kernels: Of this machine.
    """

    def __init__(self, weights: Weights, shape: ModelShape, kernels: Kernels) -> None:
        super().__init__(weights, shape)
        self._run = kernels.encode
        self._layers = FusedLayers("encoder", weights.encoder)
        self._norm = norm_of(weights.encoder_norm)

    def _encode(self, sources: Sequence[Sequence[int]], adapters: Sequence[Adapter | None]) -> Tensor:
        if not FusedLayers.take(adapters):
            return super()._encode(sources, adapters)
        lengths = [len(source) for source in sources]
        hidden = embed(self._weights, self._shape, *self._lines(sources))
        self._run(
            structures.Sources(
                tokens=self._layers.tokens(hidden, adapters, lengths),
                num_layers=len(self._layers.layers),
                num_heads=self._shape.num_encoder_heads,
                layers=self._layers.layers,
                norm=self._norm,
            )
        )
        return hidden
