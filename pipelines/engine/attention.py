"""Attention over packed sources, and of few queries over cached keys and values of many lengths; knows no weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

_MAX_PADDING_RATIO = 2.0  # above it, padding costs more than one call per sequence
_MIN_RAGGED_TOKENS = 4096  # below it, padding is cheap whatever its share


@dataclass(frozen=True, slots=True)
class Lengths:
    """How many cached tokens each sequence of a batch has, and how its attention is computed.

    Built once per step and used by every layer.

    Attributes:
        tokens: `[sequences]`, of each, on the device.
        longest: At least the longest.
        mask: `[sequences, 1, 1, longest]`, added to scores; None if all are the longest.
        ragged: Of each sequence, if each is computed by itself.
    """

    tokens: Tensor
    longest: int
    mask: Tensor | None = None
    ragged: tuple[int, ...] | None = None

    @classmethod
    def of(cls, lengths: Sequence[int], dtype: torch.dtype, device: torch.device) -> Lengths:
        """Choose what is best for these lengths."""
        tokens, longest = torch.tensor(lengths).to(device), max(lengths)
        padded = longest * len(lengths)
        if padded == sum(lengths):
            return cls(tokens, longest)
        if padded > _MIN_RAGGED_TOKENS and padded > _MAX_PADDING_RATIO * sum(lengths):
            return cls(tokens, longest, ragged=tuple(lengths))
        return cls.within(tokens, longest, dtype)

    @classmethod
    def within(cls, tokens: Tensor, longest: int, dtype: torch.dtype) -> Lengths:
        """Compute any lengths up to `longest` by the same operations, without a look at them."""
        return cls(tokens, longest, _mask(tokens, longest, dtype))


def attend(query: Tensor, keys: Tensor, values: Tensor, lengths: Lengths) -> Tensor:
    """Return softmax(q k / sqrt(d)) v, every sequence over its own length.

    Args:
        query: `[sequences, heads, queries, head_dim]`.
        keys: `[sequences, heads, capacity, head_dim]`, capacity at least the longest length; kept in any float format,
            computed in the query's or, by the fused kernel, in that one.
        values: As `keys`.
        lengths: Of the sequences.

    Returns:
        `[sequences, queries, d_model]`.
    """
    if lengths.ragged is not None:
        rows = [
            _attend(query[i : i + 1], keys[i : i + 1, :, :length], values[i : i + 1, :, :length], None)
            for i, length in enumerate(lengths.ragged)
        ]
        out = torch.cat(rows)
    else:
        out = _attend(query, keys[:, :, : lengths.longest], values[:, :, : lengths.longest], lengths.mask)
    return out.transpose(1, 2).flatten(2)


def most_attended(query: Tensor, keys: Tensor, lengths: Lengths) -> Tensor:
    """Return which token each query attends to most, on the mean over the heads, `[sequences, queries]`.

    A source's first and last token are its language and `</s>`: between them, if there is anything between.

    Args:
        query: `[sequences, heads, queries, head_dim]`.
        keys: `[sequences, heads, capacity, head_dim]`.
        lengths: Of the sources.
    """
    keys = keys[:, :, : lengths.longest].to(query.dtype)
    scores = torch.matmul(query, keys.transpose(-1, -2)).float() * query.shape[-1] ** -0.5
    positions = torch.arange(lengths.longest, device=query.device)[None, :]
    ends = lengths.tokens[:, None]
    beyond = positions >= ends
    special = ((positions == 0) | (positions == ends - 1)) & (ends > 2)
    shares = scores.masked_fill(beyond[:, None, None, :], -torch.inf).softmax(-1).mean(1)
    most: Tensor = shares.masked_fill((special | beyond)[:, None, :], -1.0).argmax(-1)
    return most


class Sources(Protocol):
    """Sources of many lengths, each of which attends to itself alone."""

    def attend(self, qkv: Tensor) -> Tensor:
        """Return softmax(q k / sqrt(d)) v, `[lines, d_model]`.

        Args:
            qkv: `[lines, 3 (queries, keys, values), heads, head_dim]`.
        """
        ...


class PaddedSources(Sources):
    """Sources as long as the longest, one after the other.

    Args:
        lengths: `[sources]`, tokens of each, on the device.
        longest: Lines of each.
        dtype: Of activations.
    """

    def __init__(self, lengths: Tensor, longest: int, dtype: torch.dtype) -> None:
        self._longest = longest
        self._mask = _mask(lengths, longest, dtype)

    def attend(self, qkv: Tensor) -> Tensor:
        """See `Sources`."""
        query, key, value = qkv.view(-1, self._longest, *qkv.shape[1:]).permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=self._mask)
        return attended.transpose(1, 2).flatten(2).flatten(0, 1)


class PackedSources(Sources):
    """Sources one after the other, without a line in vain.

    Args:
        lengths: Tokens of each source.
        dtype: Of activations.
        device: Of activations.
        padded: Whether they are padded for attention; else each is computed alone, which is less work in more calls.
    """

    def __init__(self, lengths: Sequence[int], dtype: torch.dtype, device: torch.device, *, padded: bool) -> None:
        self._lengths = list(lengths)
        self._padded: PaddedSources | None = None
        if padded:
            longest, tokens = max(lengths), torch.tensor(self._lengths)
            places, firsts = torch.arange(longest), tokens.cumsum(0) - tokens
            self._padded = PaddedSources(tokens.to(device), longest, dtype)
            self._lines = (firsts[:, None] + places.minimum(tokens[:, None] - 1)).flatten().to(device)
            self._places = (places < tokens[:, None]).flatten().nonzero().flatten().to(device)

    def attend(self, qkv: Tensor) -> Tensor:
        """See `Sources`."""
        if self._padded is None:
            return torch.cat([self._alone(source) for source in torch.split(qkv, self._lengths)])
        return self._padded.attend(qkv.index_select(0, self._lines)).index_select(0, self._places)

    def _alone(self, source: Tensor) -> Tensor:
        query, key, value = source[None].permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(query, key, value)
        return attended[0].transpose(0, 1).reshape(len(source), -1)


def _attend(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
    dtype = query.dtype
    # On a CPU two products are twice as fast as the fused kernel, for a query or a few, but not with AMX, which
    # multiplies bfloat16 as it is kept, and adds in float32.
    if query.device.type != "cpu" or (keys.dtype == torch.bfloat16 and torch.cpu._is_amx_tile_supported()):
        return functional.scaled_dot_product_attention(query.to(keys.dtype), keys, values, attn_mask=mask).to(dtype)
    keys, values = keys.to(dtype), values.to(dtype)
    scores = torch.matmul(query, keys.transpose(-1, -2)).mul_(query.shape[-1] ** -0.5)
    if mask is not None:
        scores += mask
    return torch.matmul(scores.softmax(-1), values)


def _mask(lengths: Tensor, longest: int, dtype: torch.dtype) -> Tensor:
    """Return zeros, and `-inf` beyond each length: `[sequences, 1, 1, longest]`."""
    beyond = torch.arange(longest, device=lengths.device) >= lengths[:, None]
    mask = torch.zeros(beyond.shape, dtype=dtype, device=lengths.device).masked_fill_(beyond, -torch.inf)
    return mask[:, None, None, :]
