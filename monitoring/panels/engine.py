"""How batches form, and what they do to devices and processes."""

from __future__ import annotations

from monitoring.panels.panel import Panel, Query, Row, mean, quantiles, rate

_PADDING = 'kind="padding"'

ENGINE = Row(
    "Batches and the engine",
    (
        Panel(
            "Rows per encoder batch",
            "Do batches form?",
            "short",
            (*quantiles("batch_rows")[:2], mean("batch_rows", "encoder_rows_total")),
        ),
        Panel(
            "Padding",
            "Which share of the encoder's work is for nothing, over all and in the worst batches?",
            "percentunit",
            (
                Query(
                    f"{rate('encoder_tokens_total', where=_PADDING)} / {rate('encoder_tokens_total')}",
                    "of all tokens",
                ),
                Query(quantiles("batch_padding_ratio")[1].expr, "p95 of batches"),
            ),
        ),
        Panel(
            "Decoder rows",
            "How full is the decoder?",
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
            (Query(f"{rate('decode_row_steps_total')} / {rate('decode_steps_total')}", "mean"),),
        ),
        Panel(
            "Steps",
            "How fast does the decoder turn, by replica?",
            "ops",
            (Query(rate("decode_steps_total", "replica"), "{{replica}}"),),
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
