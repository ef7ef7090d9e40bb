"""Decides when an ill dependency is left alone. Knows nothing of the dependency."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, TypeAlias

_Exceptions: TypeAlias = type[Exception] | tuple[type[Exception], ...]


class CircuitBreaker:
    """Opens after a number of failures in a row, then lets one probe through per cool-down until one succeeds.

    Args:
        failures_to_open: Failures in a row.
        cool_down_s: Between two probes of an open breaker.
        clock_s: Any clock that never goes back.
    """

    def __init__(
        self,
        *,
        failures_to_open: int = 3,
        cool_down_s: float = 5.0,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._failures_to_open = failures_to_open
        self._cool_down_s = cool_down_s
        self._clock_s = clock_s
        self._num_failures = 0
        self._next_probe_s = 0.0
        self._is_probing = False

    @property
    def is_open(self) -> bool:
        """Whether the dependency is left alone, probes aside."""
        return self._num_failures >= self._failures_to_open

    @property
    def state(self) -> Literal["closed", "half_open", "open"]:
        """For metrics: `half_open` while a probe is under way."""
        if not self.is_open:
            return "closed"
        return "half_open" if self._is_probing else "open"

    def admit(self) -> bool:
        """Return whether to try the dependency now; True while open makes the caller the probe."""
        if not self.is_open:
            return True
        if self._clock_s() < self._next_probe_s:
            return False
        self._next_probe_s = self._clock_s() + self._cool_down_s
        self._is_probing = True
        return True

    @contextmanager
    def watching(self, failures: _Exceptions, answers: _Exceptions = ()) -> Iterator[None]:
        """Note how an admitted try ends; every exception goes on.

        Args:
            failures: That the dependency did not answer.
            answers: Those of them that are an answer nevertheless.
        """
        try:
            yield
        except answers:
            self.succeeded()
            raise
        except failures:
            self.failed()
            raise
        self.succeeded()

    def succeeded(self) -> None:
        """Note that the dependency answered."""
        self._num_failures = 0
        self._is_probing = False

    def failed(self) -> None:
        """Note that the dependency did not answer."""
        self._num_failures += 1
        self._next_probe_s = self._clock_s() + self._cool_down_s
        self._is_probing = False
