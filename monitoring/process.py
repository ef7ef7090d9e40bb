"""What this process takes of its machine."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil

from monitoring import metrics
from monitoring.recorder import Recorder

# The system counts CPU time in hundredths of a second, in which a reading over less would drown.
_LEAST_INTERVAL_S = 1.0


class ProcessSampler:
    """Records CPU and memory of this process, each time over the time since the last.

    Args:
        recorder: Takes the figures.
        clock: Returns seconds.
    """

    def __init__(self, recorder: Recorder, clock: Callable[[], float] = time.monotonic) -> None:
        self._recorder = recorder
        self._clock = clock
        self._process = psutil.Process()
        self._process.cpu_percent()  # The first reading is what the next one is measured from.
        self._measured_at_s = clock()

    def sample(self) -> None:
        """Record now; CPU only where there is enough time to speak of."""
        now_s = self._clock()
        if now_s - self._measured_at_s >= _LEAST_INTERVAL_S:
            self._recorder.set(metrics.PROCESS_CPU, self._process.cpu_percent() / 100)
            self._measured_at_s = now_s
        self._recorder.set(metrics.PROCESS_RESIDENT, self._process.memory_info().rss)
