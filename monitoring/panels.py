"""What the dashboard shows: rows of panels, each a question about the service and the queries that answer it.

How Grafana wants it written down is `monitoring.dashboard`'s. `$range` is the time over which rates are taken.
"""

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
    """

    title: str
    question: str
    unit: str
    queries: tuple[Query, ...]
    kind: Literal["timeseries", "stat", "heatmap"] = "timeseries"
    width: int = 8
    stacked: bool = False
    thresholds: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]
    collapsed: bool = False


def _rate(metric: str, by: str = "", where: str = "") -> str:
    grouping = f" by ({by})" if by else ""
    return f"sum{grouping} (rate(ray_nllb_{metric}{{{where}}}[$range]))".replace("{}", "")


def _quantiles(metric: str, by: str = "") -> tuple[Query, ...]:
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


def _mean(histogram: str, exact_sum: str) -> Query:
    """Ray approximates a histogram's sum, so the mean is taken of the counter of the exact one."""
    return Query(f"{_rate(exact_sum)} / {_rate(f'{histogram}_count')}", "mean")


_ASKED = 'endpoint=~"/api/v1/(translate|batch-translate).*"'
_HITS, _MISSES = _rate("cache_hits_total"), _rate("cache_misses_total")

OVERVIEW = Row(
    "Overview",
    (
        Panel(
            "Requests",
            "How many requests for translations are answered per second?",
            "reqps",
            (Query(_rate("translation_requests_total", where=_ASKED), "requests"),),
            kind="stat",
            width=4,
        ),
        Panel(
            "Failing",
            "Which share of them fails by the service's fault?",
            "percentunit",
            (
                Query(
                    f"({_rate('translation_requests_total', where=_ASKED + ', status=~' + chr(34) + '5..' + chr(34))}"
                    f" or vector(0)) / {_rate('translation_requests_total', where=_ASKED)}",
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
            (_quantiles("translation_duration_seconds")[2],),
            kind="stat",
            width=4,
            thresholds=(5, 10),
        ),
        Panel(
            "From the cache",
            "Which share of the segments is answered by a cache?",
            "percentunit",
            (Query(f"{_HITS} / ({_HITS} + {_MISSES})", "hits"),),
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

TRAFFIC = Row(
    "Traffic",
    (
        Panel(
            "Requests by route",
            "Who asks for what?",
            "reqps",
            (Query(_rate("translation_requests_total", "endpoint"), "{{endpoint}}"),),
            stacked=True,
        ),
        Panel(
            "Characters",
            "How much text comes in and goes out?",
            "cps",
            (Query(_rate("characters_total", "direction"), "{{direction}}"),),
        ),
        Panel(
            "Segments by outcome",
            "How much is translated, known already, or fails?",
            "ops",
            (Query(_rate("segments_total", "outcome"), "{{outcome}}"),),
            stacked=True,
        ),
        Panel(
            "Requests under way",
            "How many requests are being worked on, by replica of the ingress?",
            "short",
            (Query("sum by (replica) (ray_nllb_requests_ongoing)", "{{replica}}"),),
            stacked=True,
        ),
        Panel(
            "Tokens",
            "What does the model read and write?",
            "ops",
            (Query(_rate("tokens_total", "direction"), "{{direction}}"),),
        ),
        Panel(
            "Requests at the proxy",
            "What does Ray Serve see, by status?",
            "reqps",
            (Query("sum by (status_code) (rate(ray_serve_num_http_requests_total[$range]))", "{{status_code}}"),),
            stacked=True,
        ),
    ),
)

LATENCY = Row(
    "Latency",
    (
        Panel(
            "Whole requests",
            "How long does a translation take, and on average?",
            "s",
            (
                *_quantiles("translation_duration_seconds"),
                _mean("translation_duration_seconds", "translation_seconds_total"),
            ),
        ),
        Panel(
            "Waiting for the decoder",
            "How much of it is waiting?",
            "s",
            (*_quantiles("time_in_queue_seconds"), _mean("time_in_queue_seconds", "queue_seconds_total")),
        ),
        Panel(
            "Spread of whole requests",
            "Are there two kinds of requests?",
            "s",
            (Query("sum by (le) (increase(ray_nllb_translation_duration_seconds_bucket[$range]))", "{{le}}"),),
            kind="heatmap",
        ),
    ),
)

PAIRS = Row(
    "Language pairs",
    (
        Panel(
            "Requests by language pair",
            "Which languages are asked for?",
            "reqps",
            (Query(_rate("translation_duration_seconds_count", "language_pair"), "{{language_pair}}"),),
            width=12,
            stacked=True,
        ),
        Panel(
            "Latency p95 by language pair",
            "Is a language slower than the others?",
            "s",
            (Query(_quantiles("translation_duration_seconds", "language_pair")[1].expr, "{{language_pair}}"),),
            width=12,
        ),
    ),
)

CACHE = Row(
    "Cache",
    (
        Panel(
            "Hit ratio by tier",
            "Which share of the segments is answered where?",
            "percentunit",
            (
                Query(
                    f"{_rate('cache_hits_total', 'tier')} / ignoring (tier) group_left () ({_HITS} + {_MISSES})",
                    "{{tier}}",
                ),
            ),
        ),
        Panel(
            "Segments",
            "How many are found, sent on, or wait for an equal one on its way?",
            "ops",
            (
                Query(_HITS, "hits"),
                Query(_MISSES, "misses"),
                Query(_rate("coalesced_total"), "coalesced"),
            ),
        ),
        Panel(
            "Entries",
            "How much is kept?",
            "short",
            (Query("sum by (tier) (ray_nllb_cache_entries)", "{{tier}}"),),
        ),
        Panel(
            "Memory",
            "What does it take? Of a Redis, the whole server.",
            "bytes",
            (Query("sum by (tier) (ray_nllb_cache_bytes)", "{{tier}}"),),
        ),
        Panel(
            "Evictions and errors",
            "Is it too small? Is its store ill?",
            "ops",
            (
                Query(f"{_rate('cache_evictions_total')} or vector(0)", "evictions"),
                Query(f"{_rate('cache_errors_total')} or vector(0)", "errors"),
            ),
        ),
        Panel(
            "Available",
            "Does the store answer?",
            "bool_yes_no",
            (Query("min by (tier) (ray_nllb_cache_available)", "{{tier}}"),),
        ),
    ),
)

ERRORS = Row(
    "Errors and degradation",
    (
        Panel(
            "Errors by code",
            "What are clients told?",
            "ops",
            (Query(_rate("errors_total", "code"), "{{code}}"),),
            stacked=True,
        ),
        Panel(
            "Answers by status",
            "How many requests end how?",
            "reqps",
            (Query(_rate("translation_requests_total", "status"), "{{status}}"),),
            stacked=True,
        ),
        Panel(
            "Notices by guard",
            "What looks wrong about translations?",
            "ops",
            (Query(_rate("quality_guard_total", "guard"), "{{guard}}"),),
            stacked=True,
        ),
        Panel(
            "Retries",
            "Which dependency makes calls fail at first?",
            "ops",
            (Query(_rate("retries_total", "dependency"), "{{dependency}}"),),
        ),
        Panel(
            "Circuits",
            "0 closed, 1 probing, 2 open: which dependency is left alone?",
            "short",
            (Query("max by (dependency) (ray_nllb_circuit_state)", "{{dependency}}"),),
        ),
        Panel(
            "Refused because of their rate",
            "Who meets a limit?",
            "reqps",
            (Query(_rate("rate_limited_total", "endpoint"), "{{endpoint}}"),),
        ),
    ),
)

ENGINE = Row(
    "Batches and the engine",
    (
        Panel(
            "Rows per encoder batch",
            "Do batches form?",
            "short",
            (*_quantiles("batch_rows")[:2], _mean("batch_rows", "encoder_rows_total")),
        ),
        Panel(
            "Padding",
            "Which share of the encoder's work is for nothing, over all and in the worst batches?",
            "percentunit",
            (
                Query(
                    f"{_rate('encoder_tokens_total', where='kind=' + chr(34) + 'padding' + chr(34))}"
                    f" / {_rate('encoder_tokens_total')}",
                    "of all tokens",
                ),
                Query(_quantiles("batch_padding_ratio")[1].expr, "p95 of batches"),
            ),
        ),
        Panel(
            "Decoder rows",
            "How full is the running batch?",
            "short",
            (
                Query("sum(ray_nllb_decode_slots)", "there are"),
                Query("sum(ray_nllb_decode_slots_used)", "used"),
                Query("sum(ray_nllb_queue_segments)", "waiting segments"),
            ),
        ),
        Panel(
            "Rows per step",
            "How many rows does a step of the decoder serve?",
            "short",
            (Query(f"{_rate('decode_row_steps_total')} / {_rate('decode_steps_total')}", "mean"),),
        ),
        Panel(
            "Steps",
            "How fast does the decoder turn, by replica?",
            "ops",
            (Query(_rate("decode_steps_total", "replica"), "{{replica}}"),),
        ),
        Panel(
            "Start of replicas",
            "How long do loading and warming up take?",
            "s",
            (
                Query("max by (replica) (ray_nllb_model_load_seconds)", "load {{replica}}"),
                Query("max by (replica) (ray_nllb_warmup_seconds)", "warm-up {{replica}}"),
            ),
        ),
    ),
)

DEVICES = Row(
    "Devices and processes",
    (
        Panel(
            "Device memory",
            "How full are the devices?",
            "bytes",
            (
                Query(
                    'max by (NodeAddress, device) (ray_nllb_device_memory_bytes{kind="used"})',
                    "{{device}} {{NodeAddress}} used",
                ),
                Query(
                    'max by (NodeAddress, device) (ray_nllb_device_memory_bytes{kind="total"})',
                    "{{device}} {{NodeAddress}} total",
                ),
            ),
        ),
        Panel(
            "Device utilisation",
            "How busy are they?",
            "percentunit",
            (Query("max by (NodeAddress, device) (ray_nllb_device_utilization_ratio)", "{{device}} {{NodeAddress}}"),),
        ),
        Panel(
            "CPU by replica",
            "How many cores does each keep busy?",
            "short",
            (Query("sum by (deployment, replica) (ray_nllb_process_cpu_ratio)", "{{deployment}} {{replica}}"),),
            width=4,
        ),
        Panel(
            "Memory by replica",
            "Does it grow?",
            "bytes",
            (Query("sum by (deployment, replica) (ray_nllb_process_resident_bytes)", "{{deployment}} {{replica}}"),),
            width=4,
        ),
    ),
)

ADAPTERS = Row(
    "Adapters and canaries",
    (
        Panel(
            "Texts by version",
            "Which adapters are used?",
            "reqps",
            (Query(_rate("adapter_requests_total", "adapter, version"), "{{adapter}}@{{version}}"),),
            stacked=True,
        ),
        Panel(
            "Share of live and canary",
            "Which version answers how much of an alias?",
            "percentunit",
            (
                Query(
                    "max by (adapter, version, role) (ray_nllb_adapter_share_ratio)",
                    "{{adapter}}@{{version}} {{role}}",
                ),
            ),
        ),
        Panel(
            "Failing by version",
            "Does the canary fail more often than the live version?",
            "percentunit",
            (Query("nllb:adapter_failed_ratio:rate15m", "{{adapter}}@{{version}}"),),
        ),
        Panel(
            "Latency p95 by version",
            "Is the canary slower?",
            "s",
            (Query(_quantiles("translation_duration_seconds", "adapter")[1].expr, "{{adapter}}"),),
        ),
        Panel(
            "Loads",
            "How often are adapters loaded, and does it work?",
            "ops",
            (Query(_rate("adapter_loads_total", "result"), "{{result}}"),),
        ),
        Panel(
            "Time of a load",
            "How long does the first request of an adapter wait?",
            "s",
            (
                _quantiles("adapter_load_seconds")[1],
                _mean("adapter_load_seconds", "adapter_loading_seconds_total"),
            ),
            width=4,
        ),
        Panel(
            "Resident",
            "How many adapters does each engine hold?",
            "short",
            (Query("sum by (replica) (ray_nllb_adapters_resident)", "{{replica}}"),),
            width=4,
        ),
    ),
)

AUTOSCALING = Row(
    "Autoscaling",
    (
        Panel(
            "Replicas",
            "How many should there be, and how many report?",
            "short",
            (
                Query("max by (deployment) (ray_serve_autoscaling_target_replicas)", "{{deployment}} wanted"),
                Query(
                    'count by (deployment) (ray_nllb_process_resident_bytes{replica!=""})', "{{deployment}} reporting"
                ),
            ),
        ),
        Panel(
            "Calls under way",
            "What does Ray Serve's router see at the replicas?",
            "short",
            (
                Query("sum by (deployment) (ray_serve_num_ongoing_requests_at_replicas)", "{{deployment}} at replicas"),
                Query("sum by (deployment) (ray_serve_deployment_queued_queries)", "{{deployment}} queued"),
            ),
        ),
        Panel(
            "State of deployments",
            "6 is healthy; 3 to 5 is on its way there; 1 and 2 are failures.",
            "short",
            (Query("min by (deployment) (ray_serve_deployment_status)", "{{deployment}}"),),
        ),
    ),
)

TRAINING = Row(
    "Training",
    (
        Panel(
            "Gates",
            "How many trained adapters were good enough to be published, over the last hour?",
            "short",
            (Query("sum by (result) (increase(ray_nllb_training_gate_total[1h]))", "{{result}}"),),
        ),
        Panel(
            "Loss",
            "Does training still learn, and does the dev set agree?",
            "short",
            (
                Query("max by (run) (ray_nllb_training_loss)", "{{run}} training"),
                Query("max by (run) (ray_nllb_training_dev_loss)", "{{run}} dev"),
            ),
        ),
        Panel(
            "Training speed",
            "Source and target tokens a second, all workers of a run.",
            "short",
            (Query("max by (run) (ray_nllb_training_tokens_per_second)", "{{run}}"),),
        ),
        Panel(
            "Progress",
            "How much of a run is done?",
            "percentunit",
            (Query("max by (run) (ray_nllb_training_progress_ratio)", "{{run}}"),),
            width=6,
        ),
        Panel(
            "Quality on dev sentences",
            "Does chrF++ rise?",
            "short",
            (Query("max by (run) (ray_nllb_training_dev_chrf)", "{{run}}"),),
            width=6,
        ),
        Panel(
            "Learning rate",
            "Where in its schedule is a run?",
            "short",
            (Query("max by (run) (ray_nllb_training_learning_rate)", "{{run}}"),),
            width=6,
        ),
        Panel(
            "Gradient norm",
            "Is a run stable?",
            "short",
            (Query("max by (run) (ray_nllb_training_gradient_norm)", "{{run}}"),),
            width=6,
        ),
    ),
)

ROWS: tuple[Row, ...] = (
    OVERVIEW,
    TRAFFIC,
    LATENCY,
    PAIRS,
    CACHE,
    ERRORS,
    ENGINE,
    DEVICES,
    ADAPTERS,
    AUTOSCALING,
    TRAINING,
)
