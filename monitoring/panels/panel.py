"""What a panel is, and the queries that many of them ask. `$range` is the time over which rates are taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL expression; `{{label}}` in the legend is filled in."""

    expr: str
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One graph, or one figure.

    Attributes:
        title: What it shows.
        question: What a reader may ask it; shown when the mouse rests on the title.
        unit: In Grafana's words: `s`, `bytes`, `reqps`, `percentunit`, `short`, `ops`.
        queries: Lines of the graph.
        kind: A graph over time, the newest figure, or a heatmap of a histogram.
        width: Of 24 columns.
        stacked: Whether the lines are parts of one whole.
        thresholds: Values from which a figure turns yellow, and red; empty leaves it green.
        empty: What it says where no query has an answer. Ray exposes no counter before it counts, so an empty panel may
            mean that all is well.
        words: What the values 0, 1, 2 ... stand for, where they are states.
    """

    title: str
    question: str
    unit: str
    queries: tuple[Query, ...]
    kind: Literal["timeseries", "stat", "heatmap"] = "timeseries"
    width: int = 8
    stacked: bool = False
    thresholds: tuple[float, ...] = ()
    empty: str = "No data"
    words: tuple[str, ...] = ()


NONE_COUNTED = "None in this time"


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]


def rate(metric: str, by: str = "", where: str = "") -> str:
    """How fast a counter rises, over all replicas, for each value of the labels `by`, of the series `where`."""
    grouping = f" by ({by})" if by else ""
    return f"sum{grouping} (rate(ray_nllb_{metric}{{{where}}}[$range]))".replace("{}", "")


def quantiles(metric: str, by: str = "") -> tuple[Query, ...]:
    """The median, the slowest in twenty and the slowest in a hundred."""
    grouping = f"le, {by}" if by else "le"
    legend = f"{{{{{by}}}}} " if by else ""
    return tuple(
        Query(
            f"histogram_quantile({quantile}, sum by ({grouping}) (rate(ray_nllb_{metric}_bucket[$range])))",
            f"{legend}p{quantile * 100:g}",
        )
        for quantile in (0.5, 0.95, 0.99)
    )


def mean(histogram: str, exact_sum: str) -> Query:
    """Ray approximates a histogram's sum, so the mean is taken of the counter of the exact one."""
    return Query(f"{rate(exact_sum)} / {rate(f'{histogram}_count')}", "mean")
