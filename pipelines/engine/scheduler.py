"""Which waiting rows join the running batch next? A pure object: no clock, no thread, no network.

Order is by priority, then deadline, then arrival. A request that others were let past gains one step of priority
every `aging_rounds` rounds, so none starves; a wide one that does not fit is overtaken only that often, then rows are
kept free for it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

_DEEP_BACKLOG = 2  # waiting requests per row; above it, like lengths are let in together


@dataclass(frozen=True, slots=True)
class Ticket:
    """A request as the scheduler sees it.

    Attributes:
        key: Unique among the requests it knows.
        num_rows: Rows of the batch that it occupies.
        num_source_tokens: What the encoder must read.
        num_cached_tokens: Upper bound of what its rows remember.
        priority: Lower is served first.
        deadline: On any scale; `math.inf` is never.
    """

    key: int
    num_rows: int
    num_source_tokens: int
    num_cached_tokens: int
    priority: int = 0
    deadline: float = math.inf


@dataclass(slots=True)
class _Waiting:
    ticket: Ticket
    arrival: int
    rounds: int = field(default=0)


class Scheduler:
    """Keeps requests waiting until there is room, and counts what is in the batch.

    Args:
        max_rows: Of the batch.
        max_join_tokens: Source tokens encoded at once, lest the rows that decode wait long; one request may exceed it.
        max_cached_tokens: Bound of memory, in tokens of all rows of the batch.
        aging_rounds: See the module.
    """

    def __init__(
        self,
        max_rows: int,
        *,
        max_join_tokens: int = 1024,
        max_cached_tokens: float = math.inf,
        aging_rounds: int = 16,
    ) -> None:
        self._max_rows = max_rows
        self._limit = max_rows
        self._max_join_tokens = max_join_tokens
        self._max_cached_tokens = max_cached_tokens
        self._aging_rounds = aging_rounds
        self._num_arrived = 0
        self._waiting: dict[int, _Waiting] = {}
        self._running: dict[int, _Waiting] = {}

    @property
    def running(self) -> list[Ticket]:
        """Requests in the batch, in the order they joined."""
        return [request.ticket for request in self._running.values()]

    @property
    def waiting(self) -> list[Ticket]:
        """Requests that wait, in the order they would be let in."""
        return [request.ticket for request in self._in_order()]

    def add(self, ticket: Ticket) -> None:
        """Queue a request; it must fit into an empty batch."""
        self._waiting[ticket.key] = _Waiting(ticket, self._num_arrived)
        self._num_arrived += 1

    def admit(self) -> list[Ticket]:
        """Move the requests that join now from waiting to running, and return them."""
        admitted: list[_Waiting] = []
        free_rows = self._limit - sum(ticket.num_rows for ticket in self.running)
        free_tokens = self._max_cached_tokens - sum(ticket.num_cached_tokens for ticket in self.running)
        join_tokens = 0
        for request in self._in_order() if free_rows > 0 else ():
            ticket = request.ticket
            alone = not self._running and not admitted
            if not alone and (ticket.num_rows > free_rows or ticket.num_cached_tokens > free_tokens):
                if request.rounds >= self._aging_rounds:
                    break
                continue
            if admitted and join_tokens + ticket.num_source_tokens > self._max_join_tokens:
                break
            admitted.append(request)
            free_rows -= ticket.num_rows
            free_tokens -= ticket.num_cached_tokens
            join_tokens += ticket.num_source_tokens
        for request in admitted:
            self._running[request.ticket.key] = self._waiting.pop(request.ticket.key)
        if admitted:
            for request in self._waiting.values():
                request.rounds += 1
        return [request.ticket for request in admitted]

    def leave(self, key: int) -> None:
        """Forget a request, waiting or running. A finished one lets a shrunken batch grow again."""
        self._waiting.pop(key, None)
        if self._running.pop(key, None) is not None:
            self._limit = min(self._max_rows, self._limit + 1)

    def retreat(self) -> None:
        """Send all running requests back to wait, in their old places, and halve the batch: it was too much."""
        num_rows = sum(ticket.num_rows for ticket in self.running)
        self._limit = max(1, num_rows // 2)
        self._waiting |= self._running
        self._running = {}

    def _in_order(self) -> list[_Waiting]:
        order = sorted(
            self._waiting.values(),
            key=lambda request: (self._urgency(request), request.ticket.deadline, request.arrival),
        )
        window = _DEEP_BACKLOG * self._max_rows
        if len(order) > window:
            order[:window] = sorted(
                order[:window], key=lambda request: (self._urgency(request), request.ticket.num_source_tokens)
            )
        return order

    def _urgency(self, request: _Waiting) -> int:
        return request.ticket.priority - request.rounds // self._aging_rounds
