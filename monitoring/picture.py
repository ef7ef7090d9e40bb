"""Draws the dashboard's queries as one picture, for reports and where there is no Grafana.

    python -m monitoring.picture --prometheus http://127.0.0.1:9090 --minutes 5 --out dashboard.png

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
from pathlib import Path
from typing import Any

from monitoring.dashboard import dashboard

_COLUMNS = 24
_MAX_LINES = 8  # of a legend; a graph of more is read without it
_BYTES = 2**20


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

    answers = {
        panel["id"]: [(target, ask(target["expr"])) for target in panel["targets"]]
        for panel in dashboard()["panels"]
        if panel["type"] != "row"
    }
    _draw(
        answers,
        options.out,
        f"{options.minutes:g} minutes until {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime(end_unix_s))}",
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m monitoring.picture", description="Draw the dashboard's queries as one picture."
    )
    parser.add_argument("--prometheus", default="http://127.0.0.1:9090", help="where Prometheus answers")
    parser.add_argument("--minutes", type=float, default=5.0, help="how much of the past (default 5)")
    parser.add_argument("--range", default="1m", help="what rates are taken over (default 1m)")
    parser.add_argument("--out", type=Path, default=Path("dashboard.png"), help="the picture")
    return parser


def _draw(answers: dict[int, list[tuple[dict[str, Any], list[dict[str, Any]]]]], file: Path, when: str) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    panels = dashboard()["panels"]
    num_rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    figure = pyplot.figure(figsize=(20, num_rows * 0.42), layout="none")
    for panel in panels:
        place = panel["gridPos"]
        left, bottom = place["x"] / _COLUMNS, 1 - (place["y"] + place["h"]) / num_rows
        width, height = place["w"] / _COLUMNS, place["h"] / num_rows
        if panel["type"] == "row":
            title = panel["title"] + (f": {when}" if place["y"] == 0 else "")
            figure.text(left + 0.004, bottom + height * 0.25, title, fontsize=13, fontweight="bold")
            continue
        axes = figure.add_axes(
            (left + 0.028, bottom + height * 0.13, width - 0.036, height * 0.68), facecolor="#fafafa"
        )
        axes.set_title(panel["title"], fontsize=9, loc="left")
        if panel["type"] == "stat":
            _draw_figure(axes, panel, answers[panel["id"]])
        else:
            _draw_lines(axes, panel, answers[panel["id"]])
    figure.savefig(file, dpi=70)
    pyplot.close(figure)


def _draw_figure(axes: Any, panel: dict[str, Any], answers: list[tuple[dict[str, Any], list[dict[str, Any]]]]) -> None:
    axes.axis("off")
    values = [float(series["values"][-1][1]) for _, answer in answers for series in answer]
    text = _told(values[0], panel["fieldConfig"]["defaults"]["unit"]) if values else "no data"
    axes.text(0.0, 0.3, text, fontsize=20, color="#1a7f37")


def _draw_lines(axes: Any, panel: dict[str, Any], answers: list[tuple[dict[str, Any], list[dict[str, Any]]]]) -> None:
    from datetime import UTC, datetime

    from matplotlib.dates import DateFormatter

    scale = 1 / _BYTES if panel["fieldConfig"]["defaults"]["unit"] == "bytes" else 1.0
    lines = 0
    for target, answer in answers:
        for series in answer:
            points = [(float(at), float(value) * scale) for at, value in series["values"]]
            axes.plot(
                [datetime.fromtimestamp(at, UTC) for at, _ in points],
                [value if math.isfinite(value) else math.nan for _, value in points],
                linewidth=1.2,
                label=_legend(target["legendFormat"], series["metric"]),
            )
            lines += 1
    axes.set_ylim(bottom=0)
    axes.set_ylabel("MiB" if scale != 1.0 else panel["fieldConfig"]["defaults"]["unit"], fontsize=7)
    axes.tick_params(labelsize=7)
    axes.grid(alpha=0.3)
    axes.xaxis.set_major_formatter(DateFormatter("%H:%M:%S"))  # type: ignore[no-untyped-call]
    if not lines:
        axes.text(0.5, 0.5, "no data", ha="center", transform=axes.transAxes, color="#999")
    elif lines <= _MAX_LINES:
        axes.legend(fontsize=6, loc="upper left", framealpha=0.6)


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


if __name__ == "__main__":
    sys.exit(main())
