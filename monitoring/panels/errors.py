"""What fails, and what the service does about it."""

from __future__ import annotations

from monitoring.panels.panel import Panel, Query, Row, rate

ERRORS = Row(
    "Errors and degradation",
    (
        Panel(
            "Errors by code",
            "What are clients told?",
            "ops",
            (Query(rate("errors_total", "code"), "{{code}}"),),
            stacked=True,
        ),
        Panel(
            "Answers by status",
            "How many requests end how?",
            "reqps",
            (Query(rate("translation_requests_total", "status"), "{{status}}"),),
            stacked=True,
        ),
        Panel(
            "Notices by guard",
            "What looks wrong about translations?",
            "ops",
            (Query(rate("quality_guard_total", "guard"), "{{guard}}"),),
            stacked=True,
        ),
        Panel(
            "Retries",
            "Which dependency makes calls fail at first?",
            "ops",
            (Query(rate("retries_total", "dependency"), "{{dependency}}"),),
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
            (Query(rate("rate_limited_total", "endpoint"), "{{endpoint}}"),),
        ),
    ),
)
