"""The figures at the top: is all well?"""

from __future__ import annotations

from monitoring.panels.cache import HITS, MISSES
from monitoring.panels.panel import Panel, Query, Row, quantiles, rate

_ASKED = 'endpoint=~"/api/v1/(translate|batch-translate).*"'
_FAILED = f'{_ASKED}, status=~"5.."'

OVERVIEW = Row(
    "Overview",
    (
        Panel(
            "Requests",
            "How many requests for translations are answered per second?",
            "reqps",
            (Query(rate("translation_requests_total", where=_ASKED), "requests"),),
            kind="stat",
            width=4,
        ),
        Panel(
            "Failing",
            "Which share of them fails by the service's fault?",
            "percentunit",
            (
                Query(
                    f"({rate('translation_requests_total', where=_FAILED)}"
                    f" or vector(0)) / {rate('translation_requests_total', where=_ASKED)}",
                    "failing",
                ),
            ),
            kind="stat",
            width=4,
            thresholds=(0.01, 0.05),
        ),
        Panel(
            "Latency p99",
            "How long do the slowest in a hundred take?",
            "s",
            (quantiles("translation_duration_seconds")[2],),
            kind="stat",
            width=4,
            thresholds=(5, 10),
        ),
        Panel(
            "From the cache",
            "Which share of the segments is answered by a cache?",
            "percentunit",
            (Query(f"{HITS} / ({HITS} + {MISSES})", "hits"),),
            kind="stat",
            width=4,
        ),
        Panel(
            "Waiting",
            "How many segments wait for a decoder row?",
            "short",
            (Query("sum(ray_nllb_queue_segments)", "segments"),),
            kind="stat",
            width=4,
            thresholds=(64, 256),
        ),
        Panel(
            "Replicas",
            "How many translators are there?",
            "short",
            (Query('count(ray_nllb_decode_slots{deployment="Translator"})', "translators"),),
            kind="stat",
            width=4,
        ),
    ),
)
