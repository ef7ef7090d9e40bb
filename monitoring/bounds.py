"""Keeps the values of a label few: what has a name of its own in the metrics, and what is `other`."""

from __future__ import annotations

from collections.abc import Iterable

OTHER = "other"


class BoundedLabel:
    """Lets a bounded number of values through.

    With names given, those and no others. Without, the first `max_values` that come, so that a service of few
    language pairs needs no configuration, and one of many cannot flood Prometheus.

    Args:
        names: Values that always have their own.
        max_values: How many values may have their own when no names are given.
    """

    def __init__(self, names: Iterable[str], max_values: int) -> None:
        self._known = set(names)
        self._max_values = 0 if self._known else max_values

    def __call__(self, value: str) -> str:
        """Return the value, or `other`."""
        if value in self._known:
            return value
        if len(self._known) < self._max_values:
            self._known.add(value)
            return value
        return OTHER
