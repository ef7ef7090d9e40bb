"""From pairs of tokens to the tensors that `train.loss.PairLoss` takes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from train.data.batches import Rows
from train.data.tokens import TokenizedPairs, Tokens
from train.loss import IGNORED


def pair_tensors(
    pairs: TokenizedPairs, rows: Rows, *, pad_id: int, device: torch.device
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the arguments of `PairLoss.forward` for some pairs. The language is given to the decoder: it is no label.

    Args:
        pairs: All of them.
        rows: Which.
        pad_id: The token that fills a row up.
        device: Of the tensors.
    """
    sides = [pairs.row(int(row)) for row in rows]
    source_ids = filled([source for source, _ in sides], pad_id, device)
    targets = filled([target for _, target in sides], pad_id, device)
    labels = filled([target for _, target in sides], IGNORED, device)
    labels[:, 0] = IGNORED
    starts = torch.full_like(targets[:, :1], int(sides[0][1][-1]))  # decoding starts with `</s>`
    decoder_ids = torch.cat([starts, targets[:, :-1]], 1)
    return source_ids, source_ids.ne(pad_id).long(), decoder_ids, labels


def filled(rows: Sequence[Tokens], fill: int, device: torch.device) -> Tensor:
    """Return rows as one table, filled up to the longest."""
    table = np.full((len(rows), max(map(len, rows))), fill, dtype=np.int64)
    for place, row in enumerate(rows):
        table[place, : len(row)] = row
    return torch.from_numpy(table).to(device)
