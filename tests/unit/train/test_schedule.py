"""The learning rate rises in the warm-up and falls to zero at the end."""

from __future__ import annotations

import pytest

from train.schedule import learning_rate_factor


@pytest.mark.parametrize(
    ("progress", "warmup", "factor"),
    [
        (0.0, 0.1, 0.0),
        (0.05, 0.1, 0.5),
        (0.1, 0.1, 1.0),
        (0.55, 0.1, 0.5),
        (1.0, 0.1, 0.0),
        (0.0, 0.0, 1.0),
        (0.5, 1, 0.5),
    ],
)
def test_straight_lines_up_and_down(progress: float, warmup: float, factor: float) -> None:
    """At the beginning, in the warm-up, at the peak, between, and at the end; also without a warm-up."""
    assert learning_rate_factor(progress, warmup) == pytest.approx(factor)
