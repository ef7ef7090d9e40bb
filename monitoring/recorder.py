"""How metrics get from the code that knows something to Ray, and from there to Prometheus."""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import Any

from monitoring.metrics import Counter, Gauge, Histogram, Metric

_Labels = tuple[str, ...]


class Recorder:
    """Takes figures and keeps them in this process until they are drained. Thread-safe; under a microsecond each.

    Labels are given by name, all that the metric declares.

    Attributes:
        counters: Amounts by name and values of the labels, in the order of their declaration.
        gauges: Likewise.
        observations: Values of histograms, likewise.
    """

    def __init__(self) -> None:
        self.counters: defaultdict[tuple[Counter, _Labels], float] = defaultdict(float)
        self.gauges: dict[tuple[Gauge, _Labels], float] = {}
        self.observations: defaultdict[tuple[Histogram, _Labels], list[float]] = defaultdict(list)
        self._totals: dict[tuple[Counter, _Labels], float] = {}
        self._lock = threading.Lock()

    def count(self, metric: Counter, amount: float = 1.0, **labels: str) -> None:
        """Advance a counter; nothing happens for an amount of 0."""
        if amount > 0:
            with self._lock:
                self.counters[metric, _values(metric, labels)] += amount

    def count_to(self, metric: Counter, total: float, **labels: str) -> None:
        """Advance a counter to what somebody else has counted, who began to count when this process did or later."""
        key = (metric, _values(metric, labels))
        with self._lock:
            # A lower total than before is somebody else's restart (Redis'): all of it is new.
            before = self._totals.get(key, 0.0)
            amount = total - before if total >= before else total
            if amount > 0:
                self.counters[key] += amount
            self._totals[key] = total

    def set(self, metric: Gauge, value: float, **labels: str) -> None:
        """Set a gauge."""
        with self._lock:
            self.gauges[metric, _values(metric, labels)] = value

    def observe(self, metric: Histogram, value: float, **labels: str) -> None:
        """Add a value to a histogram, and to the counter of its exact sum."""
        with self._lock:
            self.observations[metric, _values(metric, labels)].append(value)
        if metric.total is not None:
            self.count(metric.total, value, **labels)

    def total(self, metric: Counter, **labels: str) -> float:
        """Return a counter's amount, summed over the labels that are not given."""
        positions = {metric.labels.index(name): value for name, value in labels.items()}
        return sum(
            amount
            for (counted, values), amount in self.counters.items()
            if counted == metric and all(values[index] == value for index, value in positions.items())
        )

    def drain(self) -> Recorder:
        """Return what has come since the last call, and all gauges as they are, as a recorder of its own."""
        drained = Recorder()
        with self._lock:
            drained.counters, self.counters = self.counters, defaultdict(float)
            drained.gauges = dict(self.gauges)
            drained.observations, self.observations = self.observations, defaultdict(list)
        return drained


class RayExporter:
    """Hands a recorder's figures to Ray.

    Recording into Ray takes ten microseconds and more, into a dictionary less than one, and Ray reports every few
    seconds anyway. Within a replica Serve adds the names of deployment and replica.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._instruments: dict[Metric, Any] = {}

    def flush(self) -> None:
        """Hand over what was recorded since the last call. Blocks for some ten microseconds per figure.

        Gauges are handed over each time: Ray forgets those that it does not hear of for two of its reports.
        """
        drained = self._recorder.drain()
        for (counter, values), amount in drained.counters.items():
            self._instrument(counter).inc(amount, _tags(counter, values))
        for (gauge, values), value in drained.gauges.items():
            self._instrument(gauge).set(value, _tags(gauge, values))
        for (histogram, values), observed in drained.observations.items():
            instrument, tags = self._instrument(histogram), _tags(histogram, values)
            for value in observed:
                instrument.observe(value, tags)

    def _instrument(self, metric: Metric) -> Any:
        if metric not in self._instruments:
            self._instruments[metric] = _ray_metric(metric)
        return self._instruments[metric]


def _ray_metric(metric: Metric) -> Any:
    from ray.serve import metrics  # Outside of a replica the same as `ray.util.metrics`.

    if isinstance(metric, Histogram):
        return metrics.Histogram(metric.name, metric.help, boundaries=list(metric.buckets), tag_keys=metric.labels)
    kind = metrics.Counter if isinstance(metric, Counter) else metrics.Gauge
    return kind(metric.name, metric.help, tag_keys=metric.labels)


def _values(metric: Metric, labels: dict[str, str]) -> _Labels:
    if len(labels) != len(metric.labels):
        raise ValueError(f"{metric.name} has the labels {metric.labels}, got {tuple(labels)}")
    return tuple([labels[name] for name in metric.labels])


def _tags(metric: Metric, values: _Labels) -> dict[str, str]:
    return dict(zip(metric.labels, values, strict=True))
