"""Work that a replica does again and again, as long as it lives."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

_LOGGER = logging.getLogger(__name__)


class Watch:
    """A task of the event loop.

    Args:
        work: What fails is logged and done again: it never harms a request.
        interval_s: Between the end of one and the beginning of the next.
    """

    def __init__(self, work: Callable[[], Awaitable[object]], interval_s: float) -> None:
        self._work = work
        self._interval_s = interval_s
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; call it on the event loop."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """End, and return when it has ended."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while True:
            try:
                await self._work()
            except Exception:
                _LOGGER.exception("%s failed; it is tried again", getattr(self._work, "__qualname__", self._work))
            await asyncio.sleep(self._interval_s)
