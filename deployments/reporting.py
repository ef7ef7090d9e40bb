"""Reports a replica's figures as long as it lives: samples what has no events of its own, then hands all to Ray."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from monitoring.process import ProcessSampler
from monitoring.recorder import RayExporter, Recorder

_LOGGER = logging.getLogger(__name__)


class Reporter:
    """A task of the replica's event loop.

    Args:
        recorder: Holds the figures.
        sample: Records what is only known when it is asked for; None where nothing is.
        interval_s: Between two reports.
    """

    def __init__(
        self, recorder: Recorder, sample: Callable[[], Awaitable[None]] | None = None, *, interval_s: float
    ) -> None:
        self._process = ProcessSampler(recorder)
        self._exporter = RayExporter(recorder)
        self._sample = sample
        self._interval_s = interval_s
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Report from now on; call it on the event loop."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def report(self) -> None:
        """Report once. What fails is logged and tried again the next time: figures never harm a request."""
        try:
            self._process.sample()
            if self._sample is not None:
                await self._sample()
            await asyncio.to_thread(self._exporter.flush)
        except Exception:
            _LOGGER.warning("the figures of this replica could not be reported", exc_info=True)

    async def _run(self) -> None:
        while True:
            await self.report()
            await asyncio.sleep(self._interval_s)
