"""How training goes, and what its gates let through."""

from __future__ import annotations

from monitoring.panels.panel import Panel, Query, Row

_NO_RUN = "No run on this cluster"

TRAINING = Row(
    "Training",
    (
        Panel(
            "Gates",
            "How many trained adapters were good enough to be published, over the last hour?",
            "short",
            # Each run counts its one verdict in a process of its own: a series that is new, and never increases.
            (
                Query(
                    "sum by (result) (ray_nllb_training_gate_total unless ray_nllb_training_gate_total offset 1h)",
                    "{{result}}",
                ),
            ),
            empty="No verdict",
        ),
        Panel(
            "Loss",
            "Does training still learn, and does the dev set agree?",
            "short",
            (
                Query("max by (run) (ray_nllb_training_loss)", "{{run}} training"),
                Query("max by (run) (ray_nllb_training_dev_loss)", "{{run}} dev"),
            ),
            empty=_NO_RUN,
        ),
        Panel(
            "Training speed",
            "Source and target tokens a second, all workers of a run.",
            "short",
            (Query("max by (run) (ray_nllb_training_tokens_per_second)", "{{run}}"),),
            empty=_NO_RUN,
        ),
        Panel(
            "Progress",
            "How much of a run is done?",
            "percentunit",
            (Query("max by (run) (ray_nllb_training_progress_ratio)", "{{run}}"),),
            width=6,
            empty=_NO_RUN,
        ),
        Panel(
            "Quality on dev sentences",
            "Does chrF++ rise?",
            "short",
            (Query("max by (run) (ray_nllb_training_dev_chrf)", "{{run}}"),),
            width=6,
            empty=_NO_RUN,
        ),
        Panel(
            "Learning rate",
            "Where in its schedule is a run?",
            "short",
            (Query("max by (run) (ray_nllb_training_learning_rate)", "{{run}}"),),
            width=6,
            empty=_NO_RUN,
        ),
        Panel(
            "Gradient norm",
            "Is a run stable?",
            "short",
            (Query("max by (run) (ray_nllb_training_gradient_norm)", "{{run}}"),),
            width=6,
            empty=_NO_RUN,
        ),
    ),
)
