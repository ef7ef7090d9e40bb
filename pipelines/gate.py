"""Who may be admitted to the engine now? Holds segments back until decoder rows are free.

`@serve.batch` seals its batches before it asks whether the model is free, so without a gate in front of it a busy
model collects many small batches instead of one large one. Knows rows and priorities; not what a row is.

Order is by priority, then deadline, then arrival; but whoever has waited longest lets no more than
`MAX_OVERTAKINGS` others past, so none starves.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

MAX_OVERTAKINGS = 16


class _Place(NamedTuple):
    """Where one caller waits; the most urgent is the smallest."""

    priority: int
    deadline: float
    arrival: int
    num_rows: int
    let_in: asyncio.Future[None]

    @property
    def is_empty(self) -> bool:
        """Whether its caller was let in, or has given up."""
        return self.let_in.done()


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
        # All that wait have their place in both, between places that are empty.
        self._by_urgency: list[_Place] = []  # a heap
        self._by_arrival: deque[_Place] = deque()
        self._num_waiting = 0
        self._num_overtakings = 0  # of whoever has waited longest

    @property
    def num_waiting(self) -> int:
        """Callers that wait to be let in."""
        return self._num_waiting

    @property
    def is_crowded(self) -> bool:
        """Whether anybody waits."""
        return self._num_waiting > 0

    async def enter(self, num_rows: int, *, priority: int = 0, deadline_s: float | None = None) -> None:
        """Wait for room, in the order of the module. Cancelling leaves the queue."""
        num_rows = min(num_rows, self._max_rows)
        let_in: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        deadline = float("inf") if deadline_s is None else deadline_s
        place = _Place(priority, deadline, next(self._order), num_rows, let_in)
        heapq.heappush(self._by_urgency, place)
        self._by_arrival.append(place)
        self._num_waiting += 1
        self.refresh()
        try:
            await let_in
        except asyncio.CancelledError:
            if let_in.cancelled():
                self._num_waiting -= 1
                self.refresh()  # it may have stood before one that needs fewer rows
            else:
                self.leave(num_rows)
            raise

    def leave(self, num_rows: int) -> None:
        """The rows are in the engine now, or will never be."""
        self._inside -= min(num_rows, self._max_rows)
        self.refresh()

    def refresh(self) -> None:
        """Let in whoever fits now. Call it whenever the engine may have become freer."""
        self._drop_empty()
        free = self._room() - self._inside
        while self._by_urgency and (place := self._next()).num_rows <= free:
            is_overtaking = place is not self._by_arrival[0]
            self._num_overtakings = self._num_overtakings + 1 if is_overtaking else 0
            place.let_in.set_result(None)
            self._num_waiting -= 1
            self._inside += place.num_rows
            free -= place.num_rows
            self._drop_empty()

    def _next(self) -> _Place:
        return self._by_arrival[0] if self._num_overtakings >= MAX_OVERTAKINGS else self._by_urgency[0]

    def _drop_empty(self) -> None:
        """Let nobody stand behind an empty place; those that stand behind others go once they are most."""
        while self._by_urgency and self._by_urgency[0].is_empty:
            heapq.heappop(self._by_urgency)
        while self._by_arrival and self._by_arrival[0].is_empty:
            self._by_arrival.popleft()
        if len(self._by_urgency) > 2 * self._num_waiting:
            self._by_urgency = [place for place in self._by_urgency if not place.is_empty]
            heapq.heapify(self._by_urgency)
        if len(self._by_arrival) > 2 * self._num_waiting:
            self._by_arrival = deque(place for place in self._by_arrival if not place.is_empty)
