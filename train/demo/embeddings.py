"""Where token embeddings start: tokens that occur in the same rows, in whatever language, start close together.

This is latent semantic analysis over the parallel corpus (Deerwester et al. 1990; across languages, Littman et al.
1998). Words and their translations are neighbours from the first step, so that the model, whose output layer is the
same matrix, has only the order of words and the agreement of forms left to learn. Knows no model.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

_SHARE_OF_MEANING = 0.8
"""Of each vector's variance; the rest is chance, which tells a word from its translations."""


def aligned_embeddings(rows: Sequence[Sequence[int]], vocab_size: int, num_dims: int) -> Tensor:
    """Return one unit-variance vector per token.

    Args:
        rows: Token ids of each row, all languages together.
        vocab_size: Number of tokens.
        num_dims: Length of a vector.

    Returns:
        `[vocab_size, num_dims]`; tokens that occur in no row are chance alone.
    """
    chance = torch.randn(vocab_size, num_dims)
    num_rows_with = Counter(token for row in rows for token in set(row))
    indices = [(token, index) for index, row in enumerate(rows) for token in sorted(set(row))]
    weights = [1 / math.sqrt(num_rows_with[token]) for token, _ in indices]
    occurrences = torch.sparse_coo_tensor(
        torch.tensor(indices).T, torch.tensor(weights), (vocab_size, len(rows)), check_invariants=True
    )
    directions, sizes, _ = torch.svd_lowrank(occurrences, q=num_dims)
    meaning = directions * sizes.sqrt()
    spread = meaning.pow(2).mean(1, keepdim=True).sqrt()
    known = spread > 1e-6
    mixed = math.sqrt(_SHARE_OF_MEANING) * meaning / spread.clamp_min(1e-6)
    return torch.where(known, mixed + math.sqrt(1 - _SHARE_OF_MEANING) * chance, chance)
