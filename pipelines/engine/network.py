"""The network over a batch's memory: sources join it, and every step feeds each row one token."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from pipelines.engine.decoder import Decoder
from pipelines.engine.encoder import Encoder
from pipelines.engine.kv_cache import KeyValueCache
from pipelines.engine.lora import Adapter
from pipelines.engine.shape import ModelShape
from pipelines.engine.weights import Weights

Stepped = tuple[Tensor, Tensor | None]
"""`[rows, d_model]`, normalised, ready for the output projection, and `[rows]`, the source token that each row attends
to most, if it was asked for."""


class Network:
    """Runs operations as they come, and only those that the rows need."""

    def __init__(self, weights: Weights, shape: ModelShape) -> None:
        self._encoder = Encoder(weights, shape)
        self._decoder = Decoder(weights, shape)

    def join(
        self,
        sources: Sequence[Sequence[int]],
        adapters: Sequence[Adapter | None],
        widths: Sequence[int],
        cache: KeyValueCache,
    ) -> None:
        """Encode sources and append their groups to the memory. Nothing has changed if it raises.

        Args:
            sources: Token ids, `[source language, ..., </s>]`.
            adapters: One per source; those of one adapter lie together.
            widths: Rows of each group.
            cache: The rows' memory.
        """
        lengths = [len(source) for source in sources]
        encoded = self._encoder(sources, adapters)
        self._remember(encoded, adapters, lengths, widths, cache)

    def step(
        self, tokens: Sequence[int], cache: KeyValueCache, adapters: Sequence[Adapter | None], *, align: bool = False
    ) -> Stepped:
        """See `Decoder.step`; what it returns is to be read before the next step."""
        return self._decoder.step(tokens, cache, adapters, align=align)

    def _remember(
        self,
        encoded: Tensor,
        adapters: Sequence[Adapter | None],
        lengths: Sequence[int],
        widths: Sequence[int],
        cache: KeyValueCache,
    ) -> None:
        cache.join(self._decoder.cross_keys_values(encoded, adapters, lengths), lengths, widths)
