"""Draws the curves of a run: loss on the training data and on the dev set, and chrF++ beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure


def plot_curves(records: Sequence[dict[str, Any]], file: Path) -> None:
    """Write a PNG.

    Args:
        records: Of `metrics.jsonl`; what was not a number is left out.
        file: Is replaced.
    """
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    losses = figure.subplots()
    losses.set_xlabel("step")
    losses.set_ylabel("loss per target token")
    losses.grid(alpha=0.3)
    lines = []
    for kind, key, label, style in (("train", "loss", "training", "-"), ("dev", "dev_loss", "dev", "o-")):
        if points := _points(records, kind, key):
            lines += losses.plot(*points, style, label=label, markersize=4)
    if points := _points(records, "dev", "chrf"):
        scores = losses.twinx()
        scores.set_ylabel("chrF++")
        lines += scores.plot(*points, "s--", color="tab:green", label="dev chrF++", markersize=4)
    losses.legend(handles=lines)
    figure.savefig(file, dpi=120)


def _points(records: Sequence[dict[str, Any]], kind: str, key: str) -> tuple[list[int], list[float]] | None:
    found = [(record["step"], record.get(key)) for record in records if record["kind"] == kind]
    found = [(step, value) for step, value in found if value is not None]
    return ([step for step, _ in found], [value for _, value in found]) if found else None
