"""Attention of few queries over cached keys and values of many lengths; knows no weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

_MAX_PADDING_RATIO = 2.0  # above it, padding costs more than one call per sequence
_MIN_RAGGED_TOKENS = 4096  # below it, padding is cheap whatever its share


class Lengths:
    """How many cached tokens each sequence of a batch has, and how its attention is computed best.

    Built once per step and used by every layer.
    """

    def __init__(self, lengths: Sequence[int], dtype: torch.dtype, device: torch.device) -> None:
        self.longest = max(lengths)
        padded = self.longest * len(lengths)
        self.ragged: list[int] | None = None
        self.mask: Tensor | None = None
        if padded > _MIN_RAGGED_TOKENS and padded > _MAX_PADDING_RATIO * sum(lengths):
            self.ragged = list(lengths)
        elif padded > sum(lengths):
            allowed = torch.arange(self.longest)[None, :] < torch.tensor(lengths)[:, None]
            mask = torch.zeros(allowed.shape).masked_fill_(~allowed, -torch.inf)
            self.mask = mask[:, None, None, :].to(device, dtype)


def attend(query: Tensor, keys: Tensor, values: Tensor, lengths: Lengths) -> Tensor:
    """Return softmax(q k / sqrt(d)) v, every sequence over its own length.

    Args:
        query: `[sequences, heads, queries, head_dim]`.
        keys: `[sequences, heads, capacity, head_dim]`, capacity at least the longest length; kept in any float format,
            computed in the query's.
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


def most_attended(query: Tensor, keys: Tensor, lengths: Sequence[int]) -> Tensor:
    """Return which token each query attends to most, on the mean over the heads, `[sequences, queries]`.

    A source's first and last token are its language and `</s>`: between them, if there is anything between.

    Args:
        query: `[sequences, heads, queries, head_dim]`.
        keys: `[sequences, heads, capacity, head_dim]`.
        lengths: Tokens of each source.
    """
    keys = keys[:, :, : max(lengths)].to(query.dtype)
    scores = torch.matmul(query, keys.transpose(-1, -2)).float() * query.shape[-1] ** -0.5
    positions = torch.arange(max(lengths))[None, :]
    ends = torch.tensor(lengths)[:, None]
    beyond = (positions >= ends).to(scores.device)
    special = ((positions == 0) | (positions == ends - 1)) & (ends > 2)
    shares = scores.masked_fill(beyond[:, None, None, :], -torch.inf).softmax(-1).mean(1)
    most: Tensor = shares.masked_fill((special.to(scores.device) | beyond)[:, None, :], -1.0).argmax(-1)
    return most


def _attend(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
    keys, values = keys.to(query.dtype), values.to(query.dtype)
    if query.device.type != "cpu":
        return functional.scaled_dot_product_attention(query, keys, values, attn_mask=mask)
    # On the CPU, for a query or a few, two products are twice as fast as the fused kernel.
    scores = torch.matmul(query, keys.transpose(-1, -2)).mul_(query.shape[-1] ** -0.5)
    if mask is not None:
        scores += mask
    return torch.matmul(scores.softmax(-1), values)
