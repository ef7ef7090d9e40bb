"""How large is the learning rate at a point of the run? Knows no steps: workers may come and go in between."""

from __future__ import annotations


def learning_rate_factor(progress: float, warmup_ratio: float) -> float:
    """Return the share of the peak: rising in the warm-up, then falling to zero, both in a straight line.

    Args:
        progress: Share of all batches that are done, between 0 and 1.
        warmup_ratio: Share of them before the peak.
    """
    if progress < warmup_ratio:
        return progress / warmup_ratio
    return (1 - progress) / (1 - warmup_ratio) if warmup_ratio < 1 else 1.0
