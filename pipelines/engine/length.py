"""How many tokens may, and must, a row's output have?"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pipelines.protocols import EncodedSegment


@dataclass(frozen=True, slots=True)
class LengthBound:
    """The bound of generated tokens, forced prefix excluded and `</s>` included.

    Attributes:
        ratio: An output has at most `ratio * source tokens + extra_tokens` tokens, where its segment names no bound.
        extra_tokens: See `ratio`.
        max_tokens: What the model's positions allow in any case.
    """

    ratio: float
    extra_tokens: int
    max_tokens: int

    def of(self, row: EncodedSegment) -> int:
        """Return the bound of one row, at least 1."""
        decoding = row.segment.decoding
        wanted = decoding.max_new_tokens
        if wanted is None:
            ratio = self.ratio if decoding.max_length_ratio is None else decoding.max_length_ratio
            wanted = int(ratio * row.num_tokens) + self.extra_tokens
        return max(1, min(wanted, self.max_tokens))


def least_new_tokens(row: EncodedSegment) -> int:
    """Return how many tokens a row generates before it may end, whatever the bound allows."""
    decoding = row.segment.decoding
    return max(decoding.min_new_tokens, math.ceil(decoding.min_length_ratio * row.num_tokens))
