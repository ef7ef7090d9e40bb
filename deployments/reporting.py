"""Reports a replica's figures: samples what has no events of its own, then hands all to Ray."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from monitoring.process import ProcessSampler
from monitoring.recorder import RayExporter, Recorder


class Reporter:
    """What a replica tells of itself, each time that it is asked to.

    Args:
        recorder: Holds the figures.
        sample: Records what is only known when it is asked for; None where nothing is.
    """

    def __init__(self, recorder: Recorder, sample: Callable[[], Awaitable[None]] | None = None) -> None:
        self._process = ProcessSampler(recorder)
        self._exporter = RayExporter(recorder)
        self._sample = sample

    async def report(self) -> None:
        """Report once."""
        self._process.sample()
        if self._sample is not None:
            await self._sample()
        await asyncio.to_thread(self._exporter.flush)
