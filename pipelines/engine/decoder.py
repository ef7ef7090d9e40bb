"""One step of the decoder for all live rows, each at its own position; knows nothing of search or stopping."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from pipelines.engine.attention import attend, most_attended
from pipelines.engine.encoder import embed
from pipelines.engine.kv_cache import KeyValueCache
from pipelines.engine.lora import Adapter, adapt_layers, order_by_adapter
from pipelines.engine.shape import ModelShape
from pipelines.engine.step import ExactStep, Step
from pipelines.engine.weights import DecoderLayer, Weights


class Decoder:
    """Runs the decoder's layers over a `KeyValueCache`.

    Attributes:
        aligning_layer: The one whose attention tells what a row attends to.
    """

    def __init__(self, weights: Weights, shape: ModelShape) -> None:
        self._weights = weights
        self._shape = shape
        # The last layer but one aligns best (Garg et al. 2019, "Jointly Learning to Align and Translate").
        self.aligning_layer = max(0, shape.num_decoder_layers - 2)

    def cross_keys_values(
        self, encoded: Tensor, adapters: Sequence[Adapter | None], source_lengths: Sequence[int]
    ) -> Iterator[Tensor]:
        """Project encoder output once per source, layer by layer.

        Args:
            encoded: `[total tokens, d_model]`, packed.
            adapters: One per source.
            source_lengths: Tokens of each source.

        Yields:
            `[total tokens, 2 (keys, values), heads, head_dim]` of each layer.
        """
        for layer in adapt_layers(self._weights.decoder, "decoder", adapters, source_lengths):
            yield layer.cross_kv(encoded).view(len(encoded), 2, self._shape.num_decoder_heads, -1)

    def step(
        self, tokens: Sequence[int], cache: KeyValueCache, adapters: Sequence[Adapter | None], *, align: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Feed one token to every row and write its keys and values.

        A step that raised may be repeated: nothing counts until `cache.advance()`.

        Args:
            tokens: One id per row, in the cache's order.
            cache: The rows' memory, at least one row.
            adapters: One per row.
            align: Whether to say what the rows attend to.

        Returns:
            `[rows, d_model]`, normalised, ready for the output projection, and `[rows]`, the source token that each
            row attends to most, or None.
        """
        cache.make_space()
        order = order_by_adapter(adapters) if any(adapters) else None
        step = ExactStep(tokens, cache, self._shape, self._weights.positions.dtype, order, align=align)
        together = adapters if order is None else [adapters[row] for row in order]
        return self.run(step, adapt_layers(self._weights.decoder, "decoder", together))

    def run(self, step: Step, layers: Sequence[DecoderLayer]) -> tuple[Tensor, Tensor | None]:
        """Run layers, adapted to the step's rows, for a step that is prepared; returns what `step` returns."""
        hidden = embed(self._weights, self._shape, step.ids, step.positions)
        attended: Tensor | None = None
        for index, layer in enumerate(layers):
            hidden = hidden + layer.self_out(self._self_attention(layer, index, hidden, step))
            queries = layer.cross_q(layer.cross_norm(hidden))
            if step.align and index == self.aligning_layer:
                attended = self.most_attended(queries, step)
            query = self._by_heads(queries, step)
            keys, values = step.cross_kv[index]
            hidden = hidden + layer.cross_out(step.to_rows(attend(query, keys, values, step.cross_lengths)))
            hidden = hidden + layer.fc2(functional.relu_(layer.fc1(layer.ffn_norm(hidden))))
        return self._weights.decoder_norm(step.to_cache_order(hidden)), attended

    def most_attended(self, queries: Tensor, step: Step) -> Tensor:
        """Return `[rows]`, in the cache's order, the source token that each row attends to most.

        Args:
            queries: `[rows, d_model]`, of the sources, in the aligning layer and the step's order.
            step: That is prepared.
        """
        most = most_attended(self._by_heads(queries, step), step.cross_kv[self.aligning_layer][0], step.cross_lengths)
        return step.to_cache_order(step.to_rows(most[..., None])).flatten()

    def _self_attention(self, layer: DecoderLayer, index: int, hidden: Tensor, step: Step) -> Tensor:
        rows, heads, width = len(hidden), self._shape.num_decoder_heads, self._shape.d_model
        qkv = step.to_cache_order(layer.qkv(layer.self_norm(hidden)))
        query, keys_values = torch.split(qkv, [width, 2 * width], dim=1)
        memory = step.self_kv[index]
        step.write(memory, keys_values.view(rows, 2, heads, -1))
        query = query.view(rows, heads, 1, -1)
        attended = attend(query, memory[0], memory[1], step.self_lengths)
        return step.to_step_order(attended.view(rows, -1))

    def _by_heads(self, queries: Tensor, step: Step) -> Tensor:
        """Return `[groups, heads, widest group, head_dim]`."""
        query = step.to_groups(queries)
        groups, width, _ = query.shape
        return query.view(groups, width, self._shape.num_decoder_heads, -1).transpose(1, 2)
