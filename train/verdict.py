"""Tells the cluster's metrics what the gate decided. Knows neither the gate nor the registry."""

from __future__ import annotations

import os
import time

import ray

from configs.schema import TrainingSettings
from monitoring import metrics
from monitoring.recorder import RayExporter, Recorder
from train.workers import connected_to_ray


def tell_cluster(passed: bool, settings: TrainingSettings) -> None:
    """Count a decision in the metrics of the cluster that RAY_ADDRESS names; without one nobody watches."""
    if not os.environ.get("RAY_ADDRESS"):
        return
    recorder = Recorder()
    count_decision(recorder, passed)
    with connected_to_ray(settings):
        RayExporter(recorder).flush()
        # Ray passes on what a process has counted at intervals, and forgets it with the process.
        time.sleep(ray._config.metrics_report_interval_ms() / 1000 + 1)


def count_decision(recorder: Recorder, passed: bool) -> None:
    """Record one decision of the gate."""
    recorder.count(metrics.TRAINING_GATE, result="passed" if passed else "failed")
