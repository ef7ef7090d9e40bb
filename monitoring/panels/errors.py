"""What fails, and what the service does about it."""

from __future__ import annotations

from monitoring.panels.panel import NONE_COUNTED, Panel, Query, Row, rate

ERRORS = Row(
    "Errors and degradation",
    (
        Panel(
            "Errors by code",
            "What are clients told?",
            "ops",
            (Query(rate("errors_total", "code"), "{{code}}"),),
            stacked=True,
            empty=NONE_COUNTED,
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
            empty=NONE_COUNTED,
        ),
        Panel(
            "Retries",
            "Which dependency makes calls fail at first?",
            "ops",
            (Query(rate("retries_total", "dependency"), "{{dependency}}"),),
            empty=NONE_COUNTED,
        ),
        Panel(
            "Circuits",
            "Which dependency is left alone (open), or tried again (probing)?",
            "short",
            (Query("max by (dependency) (ray_nllb_circuit_state)", "{{dependency}}"),),
            words=("closed", "probing", "open"),
        ),
        Panel(
            "Refused because of their rate",
            "Who meets a limit?",
            "reqps",
            (Query(rate("rate_limited_total", "endpoint"), "{{endpoint}}"),),
            empty=NONE_COUNTED,
        ),
    ),
)
