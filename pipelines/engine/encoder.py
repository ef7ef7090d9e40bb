"""The encoder over packed sources: no row is padded, so no token is computed in vain."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from pipelines.engine.attention import PackedSources, Sources
from pipelines.engine.lora import Adapter, adapt_layers
from pipelines.engine.shape import ModelShape
from pipelines.engine.transfer import integers
from pipelines.engine.weights import EncoderLayer, Weights

_TOKENS_AT_ONCE = 512  # more is not faster, and what lies between the layers no longer fits the processor's cache
_PADDED_TOKENS_AT_ONCE = 8192  # of a GPU, which pads sources for attention


class Encoder:
    """Runs the encoder's layers on the tokens of many sources at once, attention on each source alone."""

    def __init__(self, weights: Weights, shape: ModelShape) -> None:
        self._weights = weights
        self._shape = shape
        self._pads = weights.embedding.device.type != "cpu"

    def __call__(self, sources: Sequence[Sequence[int]], adapters: Sequence[Adapter | None]) -> Tensor:
        """Encode token ids.

        Args:
            sources: One non-empty sequence of ids per row, `[source language, ..., </s>]`.
            adapters: One per row.

        Returns:
            `[total tokens, d_model]`, the rows one after the other.
        """
        parts = _parts([len(source) for source in sources], padded=self._pads)
        return torch.cat([self._encode(sources[part], adapters[part]) for part in parts])

    def _encode(self, sources: Sequence[Sequence[int]], adapters: Sequence[Adapter | None]) -> Tensor:
        lengths = [len(source) for source in sources]
        dtype, device = self._weights.positions.dtype, self._weights.embedding.device
        packed = PackedSources(lengths, dtype, device, padded=self._pads)
        layers = adapt_layers(self._weights.encoder, "encoder", adapters, lengths)
        return self.run(*self._lines(sources), packed, layers)

    def _lines(self, sources: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Return the ids of all tokens, and their rows in the table of positions."""
        device = self._weights.embedding.device
        ids = integers([token for source in sources for token in source], device)
        positions = integers([position for source in sources for position in range(len(source))], device)
        return ids, positions + self._shape.pad_id + 1

    def run(self, ids: Tensor, positions: Tensor, sources: Sources, layers: Sequence[EncoderLayer]) -> Tensor:
        """Run layers, adapted to the lines, on sources that are prepared.

        Args:
            ids: `[lines]`, of tokens.
            positions: `[lines]`, of the table of positions.
            sources: How the lines attend to each other.
            layers: Of the encoder.

        Returns:
            `[lines, d_model]`.
        """
        hidden = embed(self._weights, self._shape, ids, positions)
        for layer in layers:
            qkv = layer.qkv(layer.self_norm(hidden)).view(len(hidden), 3, self._shape.num_encoder_heads, -1)
            hidden = hidden + layer.self_out(sources.attend(qkv))
            hidden = hidden + layer.fc2(functional.relu_(layer.fc1(layer.ffn_norm(hidden))))
            hidden = clamp_float16(hidden)
        return self._weights.encoder_norm(hidden)


def _parts(lengths: Sequence[int], *, padded: bool) -> list[slice]:
    """Return slices of sources that have at most so many tokens together; a longer one is alone."""
    parts: list[slice] = []
    first, num_tokens, longest = 0, 0, 0
    for index, length in enumerate(lengths):
        if padded:
            size, most = max(longest, length) * (index - first + 1), _PADDED_TOKENS_AT_ONCE
        else:
            size, most = num_tokens + length, _TOKENS_AT_ONCE
        if index > first and size > most:
            parts.append(slice(first, index))
            first, num_tokens, longest = index, 0, 0
        num_tokens += length
        longest = max(longest, length)
    return [*parts, slice(first, len(lengths))]


def embed(weights: Weights, shape: ModelShape, ids: Tensor, positions: Tensor) -> Tensor:
    """Return scaled token embeddings plus positions, `[len(ids), d_model]`, in the positions' dtype."""
    tokens = functional.embedding(ids, weights.embedding).to(weights.positions.dtype)
    return tokens * shape.embed_scale + weights.positions[positions]


def clamp_float16(hidden: Tensor) -> Tensor:
    """Keep float16 activations finite, as the reference encoder does."""
    if hidden.dtype == torch.float16:
        limit = torch.finfo(torch.float16).max - 1000
        return hidden.clamp_(-limit, limit)
    return hidden
