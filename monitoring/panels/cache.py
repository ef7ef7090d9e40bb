"""What the cache answers, holds and loses."""

from __future__ import annotations

from monitoring.panels.panel import Panel, Query, Row, rate

HITS, MISSES = rate("cache_hits_total"), rate("cache_misses_total")

CACHE = Row(
    "Cache",
    (
        Panel(
            "Hit ratio by tier",
            "Which share of the segments is answered where?",
            "percentunit",
            (
                Query(
                    f"{rate('cache_hits_total', 'tier')} / ignoring (tier) group_left () ({HITS} + {MISSES})",
                    "{{tier}}",
                ),
            ),
        ),
        Panel(
            "Segments",
            "How many are found, sent on, or wait for an equal one on its way?",
            "ops",
            (
                Query(HITS, "hits"),
                Query(MISSES, "misses"),
                Query(rate("coalesced_total"), "coalesced"),
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
                Query(f"{rate('cache_evictions_total')} or vector(0)", "evictions"),
                Query(f"{rate('cache_errors_total')} or vector(0)", "errors"),
            ),
        ),
        Panel(
            "Available",
            "Does the store answer?",
            "short",
            (Query("min by (tier) (ray_nllb_cache_available)", "{{tier}}"),),
            words=("no", "yes"),
        ),
    ),
)
