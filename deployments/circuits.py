"""The state of a circuit breaker, as a metric."""

from __future__ import annotations

from monitoring import metrics
from monitoring.recorder import Recorder
from pipelines.breaker import CircuitBreaker

_VALUES = {"closed": 0, "half_open": 1, "open": 2}


def record_circuit(recorder: Recorder, dependency: str, breaker: CircuitBreaker) -> None:
    """Record whether a dependency is left alone."""
    recorder.set(metrics.CIRCUIT_STATE, _VALUES[breaker.state], dependency=dependency)
