"""Which waiting rows join the running batch next? A pure object: no clock, no thread, no network.

Order is by priority, then deadline, then arrival. A request that others were let past gains one step of priority
every `aging_rounds` rounds, so none starves; a wide one that does not fit is overtaken only that often, then rows are
kept free for it.

A batch that failed was too large: it is halved, grows again as rows finish, and stays below what failed. A size that
failed is tried again seldom, and not before all that failed with it are done: were it tried at every step, a long row
would begin again and again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import reduce

from pipelines.engine.footprint import Footprint

_DEEP_BACKLOG = 2  # waiting requests per row; above it, like lengths are let in together


@dataclass(frozen=True, slots=True)
class Ticket:
    """A request as the scheduler sees it.

    Attributes:
        key: Unique among the requests it knows.
        num_rows: Rows of the batch that it occupies.
        num_source_tokens: What the encoder must read.
        num_target_tokens: Upper bound of what each of its rows remembers beside the source.
        priority: Lower is served first.
        deadline: On any scale; `math.inf` is never.
    """

    key: int
    num_rows: int
    num_source_tokens: int
    num_target_tokens: int
    priority: int = 0
    deadline: float = math.inf


@dataclass(slots=True)
class _Waiting:
    ticket: Ticket
    arrival: int
    rounds: int = 0
    ceiling: int | None = None
    """The scheduler's when a batch that this was in failed for the first time; None: none has."""


class Scheduler:
    """Keeps requests waiting until there is room, and counts what is in the batch.

    Args:
        max_rows: Of the batch.
        max_join_tokens: Source tokens encoded at once, lest the rows that decode wait long; one request may exceed it.
        max_cached_tokens: Bound of memory, see `Footprint`; one request may exceed it.
        aging_rounds: See the module.
        rows_per_trial: So many requests finish before one row more is let in than what did not fail.
    """

    def __init__(
        self,
        max_rows: int,
        *,
        max_join_tokens: int = 1024,
        max_cached_tokens: float = math.inf,
        aging_rounds: int = 16,
        rows_per_trial: int = 256,
    ) -> None:
        self._max_rows = max_rows
        self._ceiling = max_rows  # of the limit: more have failed
        self._limit = max_rows
        self._max_join_tokens = max_join_tokens
        self._max_cached_tokens = max_cached_tokens
        self._aging_rounds = aging_rounds
        self._rows_per_trial = rows_per_trial
        self._num_finished = 0  # since the last failure or trial
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
        if free_rows <= 0 or not self._waiting:
            return []
        footprint = reduce(_plus, self.running, Footprint())
        join_tokens = 0
        for request in self._in_order():
            ticket = request.ticket
            alone = not self._running and not admitted
            larger = _plus(footprint, ticket)
            if not alone and (ticket.num_rows > free_rows or larger.num_tokens > self._max_cached_tokens):
                if request.rounds >= self._aging_rounds:
                    break
                continue
            if admitted and join_tokens + ticket.num_source_tokens > self._max_join_tokens:
                break
            admitted.append(request)
            free_rows -= ticket.num_rows
            footprint = larger
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
            self._num_finished += 1
            if self._may_try_more():
                self._num_finished = 0
                self._ceiling += 1
            self._limit = min(self._ceiling, self._limit + 1)

    def retreat(self) -> None:
        """Send all running requests back to wait, in their old places, and halve the batch: it was too much.

        A request that fails alone was at fault all the time: what failed with it was not too large for that.
        """
        if not self._running:
            return
        running = list(self._running.values())
        num_rows = sum(request.ticket.num_rows for request in running)
        if len(running) == 1:
            self._ceiling = max(self._ceiling, running[0].ceiling or 0)
        else:
            for request in running:
                request.ceiling = request.ceiling or self._ceiling
            self._ceiling = min(self._ceiling, num_rows - 1)
        self._num_finished = 0
        self._limit = min(self._ceiling, max(1, num_rows // 2))
        self._waiting |= self._running
        self._running = {}

    def _may_try_more(self) -> bool:
        if self._ceiling == self._max_rows or self._num_finished < self._rows_per_trial:
            return False
        known = (*self._running.values(), *self._waiting.values())
        return all(request.ceiling is None for request in known)

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


def _plus(footprint: Footprint, ticket: Ticket) -> Footprint:
    return footprint.plus(ticket.num_rows, ticket.num_source_tokens, ticket.num_target_tokens)
