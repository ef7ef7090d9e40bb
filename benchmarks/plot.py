"""A benchmark's table as an SVG for the docs; the same numbers give the same file, byte by byte.

Needs matplotlib, of the `benchmark` extra. Knows no benchmark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

PLOTS = Path(__file__).parents[1] / "docs" / "benchmarks"

_STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid.axis": "y",
    "axes.grid": True,
    "grid.color": "#dddddd",
    "legend.frameon": False,
    "svg.hashsalt": "nllb-ray",  # identifiers inside the file would differ each time
}
_COLOURS = ("#0b6e4f", "#c8553d", "#e09f3e", "#3d5a80", "#7d4e9e", "#6c757d", "#2a9d8f", "#b5838d")
_MOST_WIDE_BARS = 4  # of a group; more have narrow bars, with shorter numbers on them
_MIN_WIDTH = 4.4  # inches: a title is as wide
_BARS_WIDTH = 0.8  # of a group, of the distance between two


def plot_bars(
    name: str,
    title: str,
    unit: str,
    groups: Sequence[str],
    series: Mapping[str, Sequence[float | None]],
    *,
    targets: Sequence[float | None] = (),
) -> Path:
    """Draw one group of bars per column of a table, one colour per row, and return the file.

    Args:
        name: Of the file in `docs/benchmarks`, without its ending.
        title: Above the bars.
        unit: Beside the axis.
        groups: The table's columns.
        series: The table's rows; None was not measured.
        targets: For each group a line to reach, if there is one.
    """
    pyplot = _pyplot()
    with pyplot.rc_context(_STYLE):
        is_crowded = len(series) > _MOST_WIDE_BARS
        group_width = 0.24 * len(series) if is_crowded else 1.4
        figure, axes = pyplot.subplots(
            figsize=(max(1.6 + group_width * len(groups), _MIN_WIDTH), 3.2), layout="constrained"
        )
        width = _BARS_WIDTH / len(series)
        for index, (label, values) in enumerate(series.items()):
            left = index * width - _BARS_WIDTH / 2 + width / 2
            known = [(group + left, value) for group, value in enumerate(values) if value is not None]
            bars = axes.bar(
                [at for at, _ in known],
                [value for _, value in known],
                width * 0.92,
                label=label,
                color=_COLOURS[index % len(_COLOURS)],
            )
            axes.bar_label(bars, [_short(value, 2 if is_crowded else 3) for _, value in known], fontsize=6, padding=1)
        for group, target in enumerate(targets):
            if target is not None:
                axes.hlines(target, group - 0.45, group + 0.45, colors="black", linestyles="dashed", linewidth=1)
        axes.set_xticks(range(len(groups)), groups)
        axes.set_title(title, loc="left")
        axes.set_ylabel(unit)
        axes.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0))
        return _save(figure, name)


def _short(value: float, num_digits: int) -> str:
    return f"{value:.0f}" if value >= 10 ** (num_digits - 1) else f"{value:.{num_digits}g}"


def plot_lines(
    name: str,
    title: str,
    units: tuple[str, str],
    series: Mapping[str, Sequence[tuple[float, float]]],
) -> Path:
    """Draw one line of points (x, y) per label, and return the file.

    Args:
        name: Of the file in `docs/benchmarks`, without its ending.
        title: Above the lines.
        units: Of x and y.
        series: Points by label.
    """
    pyplot = _pyplot()
    with pyplot.rc_context(_STYLE):
        figure, axes = pyplot.subplots(figsize=(5.6, 3.2), layout="constrained")
        for index, (label, points) in enumerate(series.items()):
            axes.plot(*zip(*points, strict=True), marker="o", markersize=3, label=label, color=_COLOURS[index])
        axes.set_title(title, loc="left")
        axes.set_xlabel(units[0])
        axes.set_ylabel(units[1])
        axes.set_ylim(bottom=0)
        axes.legend(fontsize=7)
        return _save(figure, name)


def _pyplot():  # matplotlib is imported only by who draws
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    return pyplot


def _save(figure, name: str) -> Path:
    PLOTS.mkdir(parents=True, exist_ok=True)
    path = PLOTS / f"{name}.svg"
    figure.savefig(path, metadata={"Date": None})
    _pyplot().close(figure)
    return path
