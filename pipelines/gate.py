"""Who may be admitted to the engine now? Holds segments back until decoder rows are free.

`@serve.batch` seals its batches before it asks whether the model is free, so without a gate in front of it a busy
model collects many small batches instead of one large one. Knows rows and priorities; not what a row is.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable


class AdmissionGate:
    """Lets rows through while the engine has room for them. Belongs to one event loop.

    A caller enters with the rows it needs, and leaves once they are in the engine (which counts them from there on),
    or once it is clear that they never get there.

    Args:
        room: How many more rows the engine would decode at once if they were submitted now.
        max_rows: The most rows that one caller may need; more are counted as this many.
    """

    def __init__(self, room: Callable[[], int], max_rows: int) -> None:
        self._room = room
        self._max_rows = max_rows
        self._inside = 0
        self._order = itertools.count()
        self._waiting: list[tuple[int, float, int, int, asyncio.Future[None]]] = []  # a heap; some have given up
        self._num_waiting = 0

    @property
    def num_waiting(self) -> int:
        """Callers that wait to be let in."""
        return self._num_waiting

    @property
    def is_crowded(self) -> bool:
        """Whether anybody waits."""
        return self._num_waiting > 0

    async def enter(self, num_rows: int, *, priority: int = 0, deadline_s: float | None = None) -> None:
        """Wait for room: by priority, then by deadline, then by arrival. Cancelling leaves the queue."""
        num_rows = min(num_rows, self._max_rows)
        let_in: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        deadline = float("inf") if deadline_s is None else deadline_s
        heapq.heappush(self._waiting, (priority, deadline, next(self._order), num_rows, let_in))
        self._num_waiting += 1
        self.refresh()
        try:
            await let_in
        except asyncio.CancelledError:
            if let_in.cancelled():
                self._give_up()
            else:
                self.leave(num_rows)
            raise

    def leave(self, num_rows: int) -> None:
        """The rows are in the engine now, or will never be."""
        self._inside -= min(num_rows, self._max_rows)
        self.refresh()

    def refresh(self) -> None:
        """Let in whoever fits now. Call it whenever the engine may have become freer."""
        free = self._room() - self._inside
        while self._waiting and (self._waiting[0][-1].done() or self._waiting[0][-2] <= free):
            *_, num_rows, let_in = heapq.heappop(self._waiting)
            if not let_in.done():
                let_in.set_result(None)
                self._num_waiting -= 1
                self._inside += num_rows
                free -= num_rows

    def _give_up(self) -> None:
        """Count one out. Its place goes with others', once they are most: behind one that waits, none is ever met."""
        self._num_waiting -= 1
        if len(self._waiting) > 2 * self._num_waiting:
            self._waiting = [place for place in self._waiting if not place[-1].done()]
            heapq.heapify(self._waiting)
