"""One recording of a replica at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pipelines.errors import UnavailableError


class Profiler:
    """Records in a thread; a recording that nobody waits for any more ends before another one begins.

    Two at once break torch's profiler, and the process with it.

    Args:
        record: Records for so many seconds and returns an archive.
    """

    def __init__(self, record: Callable[[float], bytes]) -> None:
        self._record = record
        self._recording: asyncio.Task[bytes] | None = None

    async def archive(self, seconds: float) -> bytes:
        """Record for so long.

        Raises:
            UnavailableError: A recording is under way.
        """
        if self._recording is not None:
            raise UnavailableError("this replica is being profiled already", retry_after_s=seconds)
        self._recording = asyncio.create_task(asyncio.to_thread(self._record, seconds))
        self._recording.add_done_callback(self._end)
        return await asyncio.shield(self._recording)

    def _end(self, recording: asyncio.Task[bytes]) -> None:
        self._recording = None
        if not recording.cancelled():
            recording.exception()  # there may be nobody left who asks for it
