"""Records in a Ray cluster what a healthy, freshly started service without adapters has no cause to record.

Run as a Ray job beside the service: faults, adapters and training have tests of their own; here their figures are
needed in Prometheus, through the same recorder and exporter, for the queries that ask for them.
"""

from __future__ import annotations

import sys
import time

import ray

from monitoring import metrics
from monitoring.metrics import Counter, Histogram, Metric
from monitoring.recorder import RayExporter, Recorder

LABELS: dict[Metric, list[dict[str, str]]] = {
    metrics.RETRIES: [{"dependency": "translator"}],
    metrics.RATE_LIMITED: [{"endpoint": "translate"}],
    metrics.CACHE_ERRORS: [{}],
    metrics.CACHE_EVICTIONS: [{"tier": "memory"}],
    metrics.CIRCUIT_STATE: [{"dependency": "registry"}],
    metrics.TRAINING_GATE: [{"result": "passed"}, {"result": "failed"}],
    metrics.TRAINING_LOSS: [{"run": "stand-in"}],
    metrics.TRAINING_TOKENS_PER_SECOND: [{"run": "stand-in"}],
    metrics.TRAINING_LEARNING_RATE: [{"run": "stand-in"}],
    metrics.TRAINING_GRADIENT_NORM: [{"run": "stand-in"}],
    metrics.TRAINING_PROGRESS: [{"run": "stand-in"}],
    metrics.TRAINING_DEV_LOSS: [{"run": "stand-in"}],
    metrics.TRAINING_DEV_CHRF: [{"run": "stand-in"}],
    metrics.ADAPTER_LOADS: [{"result": "loaded"}, {"result": "failed"}],
    metrics.ADAPTER_LOAD_SECONDS: [{}],
    metrics.ADAPTER_SHARE: [
        {"adapter": "stand-in", "version": "1", "role": "live"},
        {"adapter": "stand-in", "version": "2", "role": "canary"},
    ],
    metrics.ADAPTER_REQUESTS: [
        {"adapter": "stand-in", "version": version, "outcome": outcome}
        for version in ("1", "2")
        for outcome in ("ok", "failed")
    ],
}


FAULTS: dict[Metric, list[dict[str, str]]] = {
    metrics.REQUESTS: [{"endpoint": "/api/v1/translate", "status": "503"}],
    metrics.ERRORS: [{"code": "overloaded"}],
}
"""Of metrics that the service records as well, the values that alerts ask for."""


def main(duration_s: float) -> None:
    """Record something every second, for so long or until the job is stopped."""
    ray.init()
    recorder = Recorder()
    exporter = RayExporter(recorder)
    until_s = time.monotonic() + duration_s
    while time.monotonic() < until_s:
        for metric, series in (*LABELS.items(), *FAULTS.items()):
            for labels in series:
                if isinstance(metric, Counter):
                    recorder.count(metric, **labels)
                elif isinstance(metric, Histogram):
                    recorder.observe(metric, 0.5, **labels)
                else:
                    recorder.set(metric, 0.5, **labels)
        exporter.flush()
        time.sleep(1)


if __name__ == "__main__":
    main(float(sys.argv[1]))
