"""What this process takes of its machine."""

from __future__ import annotations

import psutil

from monitoring import metrics
from monitoring.recorder import Recorder


class ProcessSampler:
    """Records CPU and memory of this process, each time over the time since the last."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._process = psutil.Process()
        self._process.cpu_percent()  # The first reading is what the next one is measured from.

    def sample(self) -> None:
        """Record now."""
        self._recorder.set(metrics.PROCESS_CPU, self._process.cpu_percent() / 100)
        self._recorder.set(metrics.PROCESS_RESIDENT, self._process.memory_info().rss)
