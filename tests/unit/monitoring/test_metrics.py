"""The declarations of all metrics keep the rules that Prometheus and Ray ask for."""

from __future__ import annotations

import re

from monitoring import metrics
from monitoring.metrics import ALL, Counter, Histogram

# What Ray and Serve label every metric with.
_RESERVED = {"deployment", "replica", "application", "route", "Component", "NodeAddress", "SessionName", "Version"}


def test_names_are_unique_and_well_formed() -> None:
    """`nllb_`, lower case, counters alone end in `_total`, and none takes a suffix that a histogram adds.

    OpenMetrics calls a counter without its `_total`, so without it they are unique as well.
    """
    assert len({metric.name.removesuffix("_total") for metric in ALL}) == len(ALL)
    for metric in ALL:
        assert re.fullmatch(r"nllb_[a-z]+(_[a-z]+)*", metric.name)
        assert metric.name.endswith("_total") == isinstance(metric, Counter)
        assert not metric.name.endswith(("_sum", "_count", "_bucket"))


def test_each_says_what_it_is() -> None:
    """A help text of one line, and labels that are no one else's."""
    for metric in ALL:
        assert metric.help.endswith(".")
        assert "\n" not in metric.help
        assert not _RESERVED & set(metric.labels)
        assert len(set(metric.labels)) == len(metric.labels)


def test_buckets_ascend_and_sums_share_the_labels() -> None:
    """Ray takes positive buckets; the counter of a histogram's sum can be divided by the histogram's count."""
    for metric in ALL:
        if isinstance(metric, Histogram):
            assert list(metric.buckets) == sorted(set(metric.buckets))
            assert metric.buckets[0] > 0
            assert metric.total is None or (metric.total in ALL and metric.total.labels == metric.labels)


def test_all_holds_every_declaration() -> None:
    """`ALL` is what the module declares."""
    declared = [value for name, value in vars(metrics).items() if name.isupper() and name != "ALL"]
    assert list(ALL) == [value for value in declared if hasattr(value, "labels")]
