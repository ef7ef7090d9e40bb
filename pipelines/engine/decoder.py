"""One step of the decoder for all live rows, each at its own position; knows nothing of search or stopping."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, repeat

import torch
from torch import Tensor
from torch.nn import functional

from pipelines.engine.attention import Lengths, attend, most_attended
from pipelines.engine.encoder import embed
from pipelines.engine.kv_cache import KeyValueCache
from pipelines.engine.lora import Adapter, adapt_layers, order_by_adapter
from pipelines.engine.shape import ModelShape
from pipelines.engine.weights import DecoderLayer, Weights


class Decoder:
    """Runs the decoder's layers over a `KeyValueCache`."""

    def __init__(self, weights: Weights, shape: ModelShape) -> None:
        self._weights = weights
        self._shape = shape

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
        self,
        tokens: Sequence[int],
        cache: KeyValueCache,
        adapters: Sequence[Adapter | None],
        *,
        attended: list[int] | None = None,
    ) -> Tensor:
        """Feed one token to every row and write its keys and values.

        A step that raised may be repeated: nothing counts until `cache.advance()`.

        Args:
            tokens: One id per row, in the cache's order.
            cache: The rows' memory, at least one row.
            adapters: One per row.
            attended: Filled, if given, with the source token that each row attends to most.

        Returns:
            `[rows, d_model]`, normalised, ready for the output projection.
        """
        cache.make_space()
        order = order_by_adapter(adapters) if any(adapters) else None
        step = _Step(cache, self._shape, self._weights.positions.dtype, order, attended)
        hidden = embed(self._weights, self._shape, *step.ids_and_positions(tokens))
        together = adapters if order is None else [adapters[row] for row in order]
        for index, layer in enumerate(adapt_layers(self._weights.decoder, "decoder", together)):
            hidden = hidden + layer.self_out(self._self_attention(layer, index, hidden, step))
            hidden = hidden + layer.cross_out(self._cross_attention(layer, index, hidden, step))
            hidden = hidden + layer.fc2(functional.relu_(layer.fc1(layer.ffn_norm(hidden))))
        return self._weights.decoder_norm(step.to_cache_order(hidden))

    def _self_attention(self, layer: DecoderLayer, index: int, hidden: Tensor, step: _Step) -> Tensor:
        rows, heads, width = len(hidden), self._shape.num_decoder_heads, self._shape.d_model
        qkv = step.to_cache_order(layer.qkv(layer.self_norm(hidden)))
        query, keys_values = torch.split(qkv, [width, 2 * width], dim=1)
        memory = step.cache.self_kv[index]
        step.write(memory, keys_values.view(rows, 2, heads, -1))
        query = query.view(rows, heads, 1, -1)
        attended = attend(query, memory[0, :rows], memory[1, :rows], step.self_lengths)
        return step.to_step_order(attended.view(rows, -1))

    def _cross_attention(self, layer: DecoderLayer, index: int, hidden: Tensor, step: _Step) -> Tensor:
        query = step.to_groups(layer.cross_q(layer.cross_norm(hidden)))
        groups, width, _ = query.shape
        query = query.view(groups, width, self._shape.num_decoder_heads, -1).transpose(1, 2)
        memory = step.cache.cross_kv[index]
        if step.attended is not None and index == max(0, self._shape.num_decoder_layers - 2):
            # The last layer but one aligns best (Garg et al. 2019, "Jointly Learning to Align and Translate").
            most = most_attended(query, memory[0, :groups], step.cache.source_lengths)
            step.attended += step.to_cache_order(step.to_rows(most[..., None])).flatten().tolist()
        return step.to_rows(attend(query, memory[0, :groups], memory[1, :groups], step.cross_lengths))


class _Step:
    """What all layers of one step share: positions, lengths, how rows lie in groups, and in which order.

    Between attentions rows may lie in another order than in the cache: `order[i]` is the cache's row of the step's
    row i. None is the cache's own order, which costs nothing.
    """

    def __init__(
        self,
        cache: KeyValueCache,
        shape: ModelShape,
        dtype: torch.dtype,
        order: list[int] | None,
        attended: list[int] | None,
    ) -> None:
        self.cache = cache
        self.attended = attended
        self._shape = shape
        self._device = cache.self_kv.device
        self._positions = list(chain.from_iterable(map(repeat, cache.positions, cache.widths)))
        self.self_lengths = Lengths([p + 1 for p in self._positions], dtype, self._device)
        self.cross_lengths = Lengths(cache.source_lengths, dtype, self._device)
        self._same_position = min(self._positions) == max(self._positions)
        self._position_ids = self._tensor(self._positions)
        self._rows = torch.arange(len(self._positions), device=self._device)
        self._order: Tensor | None = None
        self._places: Tensor | None = None
        if order is not None and order != sorted(order):
            self._order = self._tensor(order)
            self._places = self._order.argsort()
        self._widest = max(cache.widths)
        self._padded: Tensor | None = None
        self._unpadded: Tensor | None = None
        if self._order is not None or min(cache.widths) < self._widest:
            self._padded, self._unpadded = self._padding()

    def ids_and_positions(self, tokens: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return ids and rows of the position table; a padding token has position zero, as in the reference."""
        ids = self.to_step_order(self._tensor(tokens))
        positions = self.to_step_order(self._position_ids) + self._shape.pad_id + 1
        return ids, positions.masked_fill_(ids == self._shape.pad_id, self._shape.pad_id)

    def to_step_order(self, rows: Tensor) -> Tensor:
        """From the cache's order to the step's."""
        return rows if self._order is None else rows.index_select(0, self._order)

    def to_cache_order(self, rows: Tensor) -> Tensor:
        """Undo `to_step_order`."""
        return rows if self._places is None else rows.index_select(0, self._places)

    def write(self, memory: Tensor, keys_values: Tensor) -> None:
        """Store `keys_values [rows, 2, heads, head_dim]`, in the cache's order, at each row's position of a layer."""
        if self._same_position:
            memory[:, : len(self._rows), :, self._positions[0]] = keys_values.transpose(0, 1)
        else:
            memory[:, self._rows, :, self._position_ids] = keys_values.to(memory.dtype)

    def to_groups(self, rows: Tensor) -> Tensor:
        """From the step's order `[rows, d]` to `[groups, widest group, d]`; narrower groups repeat their last row."""
        if self._padded is None:
            return rows.view(len(self.cache.widths), self._widest, -1)
        return rows.index_select(0, self._padded).view(-1, self._widest, rows.shape[1])

    def to_rows(self, groups: Tensor) -> Tensor:
        """Undo `to_groups`."""
        flat = groups.reshape(-1, groups.shape[-1])
        return flat if self._unpadded is None else flat.index_select(0, self._unpadded)

    def _padding(self) -> tuple[Tensor, Tensor]:
        padded: list[int] = []
        unpadded: list[int] = []
        first = 0
        for group, width in enumerate(self.cache.widths):
            padded += [first + min(i, width - 1) for i in range(self._widest)]
            unpadded += [group * self._widest + i for i in range(width)]
            first += width
        places = self._tensor(padded)
        return places if self._places is None else self._places[places], self.to_step_order(self._tensor(unpadded))

    def _tensor(self, values: Sequence[int]) -> Tensor:
        return torch.tensor(values, device=self._device)
