"""Draws the dashboard's queries as one picture, for reports and where there is no Grafana.

    python -m monitoring.picture --prometheus http://127.0.0.1:9090 --minutes 5 --rows Traffic Latency --out traffic.png

Not what Grafana draws: the same queries, in the same places, by matplotlib.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from monitoring.dashboard import dashboard
from monitoring.panels import ROWS

Series = dict[str, Any]
Answers = dict[int, list[tuple[dict[str, Any], list[Series]]]]

_COLUMNS = 24
_MAX_LINES = 8  # of a legend; a graph of more is read without it
_MIB = 2**20
# What Grafana's names of units stand for; others are written as they are.
_UNITS = {
    "reqps": "requests per s",
    "cps": "characters per s",
    "ops": "per s",
    "percentunit": "share",
    "short": "",
}
_WIDTH_IN = 14
_ROW_IN = 0.3
_DPI = 80


def main(arguments: Sequence[str] | None = None) -> int:
    """Ask Prometheus for the last minutes, and draw."""
    options = _parser().parse_args(arguments)
    end_unix_s = time.time()
    start_unix_s = end_unix_s - 60 * options.minutes
    step_s = max(1.0, 60 * options.minutes / 240)

    def ask(expr: str) -> list[dict[str, Any]]:
        query = {
            "query": expr.replace("$__rate_interval", options.range),
            "start": start_unix_s,
            "end": end_unix_s,
            "step": step_s,
        }
        url = f"{options.prometheus}/api/v1/query_range?{urllib.parse.urlencode(query)}"
        # The Prometheus that whoever runs this command names; what comes back is only drawn.
        with urllib.request.urlopen(url, timeout=30) as answer:  # nosec B310
            return list(json.load(answer)["data"]["result"])

    panels = _chosen(options.rows)
    answers: Answers = {
        panel["id"]: [(target, ask(target["expr"])) for target in panel["targets"]]
        for panel in panels
        if panel["type"] != "row"
    }
    when = f"{options.minutes:.0f} minutes until {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime(end_unix_s))}"
    _draw(panels, answers, options.out, when)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m monitoring.picture", description="Draw the dashboard's queries as one picture."
    )
    parser.add_argument("--prometheus", default="http://127.0.0.1:9090", help="where Prometheus answers")
    parser.add_argument("--minutes", type=float, default=5.0, help="how much of the past (default 5)")
    parser.add_argument("--range", default="1m", help="what rates are taken over (default 1m)")
    parser.add_argument(
        "--rows", nargs="+", choices=[row.title for row in ROWS], help="rows of the dashboard (default: all)"
    )
    parser.add_argument("--out", type=Path, default=Path("dashboard.png"), help="the picture")
    return parser


def _chosen(rows: Sequence[str] | None) -> list[dict[str, Any]]:
    """Return the panels of these rows, moved up to where those between them were."""
    chosen: list[dict[str, Any]] = []
    shift, is_wanted, below = 0, True, 0
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        if panel["type"] == "row":
            is_wanted = rows is None or panel["title"] in rows
            shift = place["y"] - below
        if is_wanted:
            chosen.append({**panel, "gridPos": {**place, "y": place["y"] - shift}})
            below = max(below, place["y"] - shift + place["h"])
    return chosen


def _draw(panels: list[dict[str, Any]], answers: Answers, file: Path, when: str) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    num_rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    height_in = num_rows * _ROW_IN
    figure = pyplot.figure(figsize=(_WIDTH_IN, height_in), layout="none")
    for panel in panels:
        place = panel["gridPos"]
        left, width = place["x"] / _COLUMNS, place["w"] / _COLUMNS
        bottom, height = 1 - (place["y"] + place["h"]) / num_rows, place["h"] / num_rows
        if panel["type"] == "row":
            title = panel["title"] + (f": {when}" if place["y"] == 0 else "")
            figure.text(left + 0.004, bottom + height * 0.25, title, fontsize=12, fontweight="bold")
            continue
        # The same room in every panel for the title above and the times and the legend below.
        title_in, legend_in = 0.3 / height_in, (0.1 if panel["type"] == "stat" else 0.62) / height_in
        axes = figure.add_axes((left + 0.042, bottom + legend_in, width - 0.052, height - title_in - legend_in))
        axes.set_title(panel["title"], fontsize=9, loc="left")
        _DRAWN[panel["type"]](axes, panel, answers[panel["id"]])
    figure.savefig(file, dpi=_DPI)
    pyplot.close(figure)


def _draw_figure(axes: Any, panel: dict[str, Any], answers: list[tuple[dict[str, Any], list[Series]]]) -> None:
    axes.axis("off")
    values = [float(series["values"][-1][1]) for _, answer in answers for series in answer]
    settings = panel["fieldConfig"]["defaults"]
    text = _told(values[0], settings["unit"]) if values else settings["noValue"]
    axes.text(0.0, 0.3, text, fontsize=20, color="#1a7f37")


def _draw_lines(axes: Any, panel: dict[str, Any], answers: list[tuple[dict[str, Any], list[Series]]]) -> None:
    settings = panel["fieldConfig"]["defaults"]
    scale = 1 / _MIB if settings["unit"] == "bytes" else 1.0
    lines = [
        (_legend(target["legendFormat"], series["metric"]), _points(series, scale))
        for target, answer in answers
        for series in answer
    ]
    if settings["custom"]["stacking"]["mode"] == "normal" and lines:
        times = sorted({at for _, points in lines for at in points})
        values = [[points.get(at, 0.0) for at in times] for _, points in lines]
        axes.stackplot([_moment(at) for at in times], values, labels=[label for label, _ in lines], alpha=0.75)
    else:
        for label, points in lines:
            axes.plot([_moment(at) for at in points], list(points.values()), linewidth=1.2, label=label)
    axes.set_ylim(0, settings.get("max", axes.get_ylim()[1]) * 1.05)
    for mapping in settings.get("mappings", ()):
        words = [word["text"] for word in mapping["options"].values()]
        axes.set_yticks(range(len(words)), words)
    _finish(axes, panel, "MiB" if scale != 1.0 else settings["unit"], len(lines))


def _draw_heatmap(axes: Any, panel: dict[str, Any], answers: list[tuple[dict[str, Any], list[Series]]]) -> None:
    """Draw how many values came into each bucket; what Prometheus has are the sums up to it."""
    buckets = sorted(
        ((float(series["metric"]["le"]), _points(series)) for _, answer in answers for series in answer),
        key=lambda bucket: bucket[0],
    )
    times = sorted({at for _, points in buckets for at in points})
    bounds = [bound for bound, _ in buckets if math.isfinite(bound)]
    is_drawn = len(times) > 1 and len(bounds) > 1
    if is_drawn:
        sums = [[0.0] * len(times), *([points.get(at, 0.0) for at in times] for _, points in buckets)]
        counts = [[max(0.0, b - a) for a, b in zip(low, high, strict=True)] for low, high in pairwise(sums)]
        axes.pcolormesh([_moment(at) for at in times], bounds, counts[: len(bounds)], cmap="Oranges")
        axes.set_yscale("log")
    _finish(axes, panel, panel["fieldConfig"]["defaults"]["unit"], _MAX_LINES + 1 if is_drawn else 0)


def _finish(axes: Any, panel: dict[str, Any], unit: str, num_lines: int) -> None:
    from matplotlib.dates import DateFormatter
    from matplotlib.ticker import MaxNLocator

    is_narrow = panel["gridPos"]["w"] < _COLUMNS / 4
    axes.set_facecolor("#fafafa")
    axes.set_ylabel(_UNITS.get(unit, unit), fontsize=7)
    axes.tick_params(labelsize=7)
    axes.grid(alpha=0.3)
    axes.xaxis.set_major_locator(MaxNLocator(2 if is_narrow else 5))
    axes.xaxis.set_major_formatter(DateFormatter("%H:%M:%S"))  # type: ignore[no-untyped-call]
    if not num_lines:
        axes.set(xticks=[], yticks=[])
        empty = panel["fieldConfig"]["defaults"]["noValue"]
        axes.text(0.5, 0.5, empty, ha="center", transform=axes.transAxes, color="#999")
    elif num_lines <= _MAX_LINES:
        axes.legend(
            fontsize=6,
            loc="upper left",
            bbox_to_anchor=(0, -0.1),
            ncols=1 if is_narrow else 4,
            frameon=False,
            columnspacing=1,
            handlelength=1,
            labelspacing=0.2,
        )


def _points(series: Series, scale: float = 1.0) -> dict[float, float]:
    return {float(at): float(value) * scale for at, value in series["values"] if math.isfinite(float(value))}


def _moment(at_unix_s: float) -> datetime:
    return datetime.fromtimestamp(at_unix_s, UTC)


def _legend(template: str, labels: dict[str, str]) -> str:
    for name, value in labels.items():
        template = template.replace("{{" + name + "}}", value)
    return template


def _told(value: float, unit: str) -> str:
    if unit == "percentunit":
        return f"{value:.1%}"
    if unit == "s":
        return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"
    return f"{value:.1f}/s" if unit == "reqps" else f"{value:g}"


_DRAWN = {"stat": _draw_figure, "timeseries": _draw_lines, "heatmap": _draw_heatmap}


if __name__ == "__main__":
    sys.exit(main())
