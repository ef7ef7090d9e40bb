"""Tells the cluster's metrics what the gate decided. Knows neither the gate nor the registry."""

from __future__ import annotations

import os
import time

from configs.schema import TrainingSettings
from monitoring import metrics
from monitoring.recorder import RayExporter, Recorder


def tell_cluster(passed: bool, settings: TrainingSettings) -> None:
    """Count a decision in the metrics of the cluster that RAY_ADDRESS names, as in a submitted job.

    Training has left the cluster by then. Without one there is nobody to tell: a Ray of this process' own would end
    before it is scraped.
    """
    if not os.environ.get("RAY_ADDRESS"):
        return
    # Ray reads its settings, which `train.workers` makes, when it is imported.
    from train.workers import connected_to_ray, ray

    recorder = Recorder()
    recorder.count(metrics.TRAINING_GATE, result="passed" if passed else "failed")
    with connected_to_ray(settings):
        RayExporter(recorder).flush()
        # Ray passes on what a process has counted at intervals, and forgets it with the process.
        time.sleep(ray._config.metrics_report_interval_ms() / 1000 + 1)
