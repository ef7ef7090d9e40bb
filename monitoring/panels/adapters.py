"""Which versions are used, and whether a canary is worse than the live version."""

from __future__ import annotations

from monitoring.panels.panel import Panel, Query, Row, mean, quantiles, rate

_NO_ADAPTER = "No adapter in use"

ADAPTERS = Row(
    "Adapters and canaries",
    (
        Panel(
            "Texts by version",
            "Which adapters are used?",
            "reqps",
            (Query(rate("adapter_requests_total", "adapter, version"), "{{adapter}}@{{version}}"),),
            stacked=True,
            empty=_NO_ADAPTER,
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
            empty=_NO_ADAPTER,
        ),
        Panel(
            "Failing by version",
            "Does the canary fail more often than the live version?",
            "percentunit",
            (Query("nllb:adapter_failed_ratio:rate15m", "{{adapter}}@{{version}}"),),
            empty=_NO_ADAPTER,
        ),
        Panel(
            "Latency p95 by version",
            "Is the canary slower?",
            "s",
            (Query(quantiles("translation_duration_seconds", "adapter")[1].expr, "{{adapter}}"),),
        ),
        Panel(
            "Loads",
            "How often are adapters loaded, and does it work?",
            "ops",
            (Query(rate("adapter_loads_total", "result"), "{{result}}"),),
            empty=_NO_ADAPTER,
        ),
        Panel(
            "Time of a load",
            "How long does the first request of an adapter wait?",
            "s",
            (
                quantiles("adapter_load_seconds")[1],
                mean("adapter_load_seconds", "adapter_loading_seconds_total"),
            ),
            width=4,
            empty=_NO_ADAPTER,
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
