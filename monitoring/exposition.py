"""From what the nodes of a cluster expose to what is worth reading of it, as one text in Prometheus' format.

A node exposes about a megabyte, most of it about Ray itself. Pure functions; who asks the nodes is elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace

from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

OWN_PREFIX = "ray_nllb_"
SERVE_METRICS = frozenset(
    f"ray_serve_{name}"
    for name in (
        "application_status",
        "autoscaling_desired_replicas",
        "autoscaling_target_replicas",
        "autoscaling_total_requests",
        "deployment_queued_queries",
        "deployment_replica_healthy",
        "deployment_replica_starts_total",
        "deployment_status",
        "health_check_failures_total",
        "http_request_latency_ms",
        "num_http_error_requests_total",
        "num_http_requests_total",
        "num_ongoing_requests_at_replicas",
        "replica_processing_queries",
    )
)
"""Those of Ray Serve's own metrics that say how an application does."""

# They are the same for all series, or name what `replica` names already.
_DROPPED_LABELS = frozenset({"Component", "SessionName", "Version"})
_SCOPE_LABELS = "otel_scope_"


def merge(texts: Iterable[str]) -> list[Metric]:
    """Return the useful metric families of all nodes, sorted by name.

    Series that are equal but for the labels that are left out are one: counts are added, of gauges the last one stays.
    """
    families: dict[str, Metric] = {}
    series: dict[str, dict[tuple[str, frozenset[tuple[str, str]]], float]] = {}
    for text in texts:
        for family in text_string_to_metric_families(_useful(text)):
            families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            values = series.setdefault(family.name, {})
            for sample in family.samples:
                key = (sample.name, _labels(sample))
                values[key] = sample.value + (values.get(key, 0.0) if family.type != "gauge" else 0.0)
    for name, family in families.items():
        family.samples = [Sample(sample, dict(labels), value) for (sample, labels), value in series[name].items()]
    return [_with_its_series_together(families[name]) for name in sorted(families)]


def encode(families: list[Metric], accept: str) -> tuple[bytes, str]:
    """Return the text and its media type: OpenMetrics for a caller that accepts it, else Prometheus' own format."""
    try:
        encoder, content_type = choose_encoder(accept)
    except TypeError:  # a version that is no number (prometheus_client 0.26)
        encoder, content_type = choose_encoder("")
    return encoder(SimpleNamespace(collect=lambda: families)), content_type


def _useful(text: str) -> str:
    """Leave out what nobody asks for before it is parsed, which takes a second per megabyte."""
    kept: list[str] = []
    useful = False
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name = line.split(" ", 3)[2]
            useful = name.startswith(OWN_PREFIX) or name in SERVE_METRICS
        if useful:
            kept.append(line)
    return "\n".join(kept) + "\n"


def _labels(sample: Sample) -> frozenset[tuple[str, str]]:
    return frozenset(
        (name, value)
        for name, value in sample.labels.items()
        if name not in _DROPPED_LABELS and not name.startswith(_SCOPE_LABELS)
    )


def _with_its_series_together(family: Metric) -> Metric:
    """OpenMetrics wants a histogram's buckets in order, followed by its count and sum."""
    order = {"_bucket": 0, "_count": 1, "_sum": 2}

    def place(sample: Sample) -> tuple[list[tuple[str, str]], int, float]:
        labels = sorted((name, value) for name, value in sample.labels.items() if name != "le")
        return labels, order.get(sample.name.removeprefix(family.name), 0), float(sample.labels.get("le", 0))

    family.samples.sort(key=place)
    return family
