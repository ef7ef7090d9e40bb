"""Decides when an ill service is left alone. Knows nothing of the service."""

from __future__ import annotations

import time
from collections.abc import Callable


class CircuitBreaker:
    """Opens after a number of failures in a row, then lets one probe through per cool-down until one succeeds."""

    def __init__(
        self,
        *,
        failures_to_open: int = 3,
        cool_down_s: float = 5.0,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make a closed breaker; `clock_s` is any clock that never goes back."""
        self._failures_to_open = failures_to_open
        self._cool_down_s = cool_down_s
        self._clock_s = clock_s
        self._num_failures = 0
        self._next_probe_s = 0.0

    @property
    def is_open(self) -> bool:
        """Whether the service is left alone, probes aside."""
        return self._num_failures >= self._failures_to_open

    def admit(self) -> bool:
        """Return whether to try the service now; True while open makes the caller the probe."""
        if not self.is_open:
            return True
        if self._clock_s() < self._next_probe_s:
            return False
        self._next_probe_s = self._clock_s() + self._cool_down_s
        return True

    def succeeded(self) -> None:
        """Note that the service answered."""
        self._num_failures = 0

    def failed(self) -> None:
        """Note that the service did not answer."""
        self._num_failures += 1
        self._next_probe_s = self._clock_s() + self._cool_down_s
