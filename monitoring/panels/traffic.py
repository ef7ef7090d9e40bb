"""How much is asked for, how long it takes, and in which languages."""

from __future__ import annotations

from monitoring.panels.panel import Panel, Query, Row, mean, quantiles, rate

TRAFFIC = Row(
    "Traffic",
    (
        Panel(
            "Requests by route",
            "Who asks for what?",
            "reqps",
            (Query(rate("translation_requests_total", "endpoint"), "{{endpoint}}"),),
            stacked=True,
        ),
        Panel(
            "Characters",
            "How much text comes in and goes out?",
            "cps",
            (Query(rate("characters_total", "direction"), "{{direction}}"),),
        ),
        Panel(
            "Segments by outcome",
            "How much is translated, known already, or fails?",
            "ops",
            (Query(rate("segments_total", "outcome"), "{{outcome}}"),),
            stacked=True,
        ),
        Panel(
            "Requests under way",
            "How many requests does each replica of the ingress work on, and how many has it not read yet?",
            "short",
            (
                Query("sum by (replica) (ray_nllb_requests_ongoing)", "{{replica}}"),
                Query("sum by (replica) (ray_nllb_requests_unread)", "{{replica}}, unread"),
            ),
            stacked=True,
        ),
        Panel(
            "Tokens",
            "What does the model read and write?",
            "ops",
            (Query(rate("tokens_total", "direction"), "{{direction}}"),),
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
                *quantiles("translation_duration_seconds"),
                mean("translation_duration_seconds", "translation_seconds_total"),
            ),
        ),
        Panel(
            "Waiting for the decoder",
            "How much of it is waiting?",
            "s",
            (*quantiles("time_in_queue_seconds"), mean("time_in_queue_seconds", "queue_seconds_total")),
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
            (Query(rate("translation_duration_seconds_count", "language_pair"), "{{language_pair}}"),),
            width=12,
            stacked=True,
        ),
        Panel(
            "Latency p95 by language pair",
            "Is a language slower than the others?",
            "s",
            (Query(quantiles("translation_duration_seconds", "language_pair")[1].expr, "{{language_pair}}"),),
            width=12,
        ),
    ),
)
