"""Refuses at once what would be refused: under an overload, asking takes what is missing where translations are made.

Knows no Ray; who refuses, and for how long, is told by what comes back (`pipelines.errors.Full`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from pipelines.admission import Returns
from pipelines.errors import Full, OverloadedError
from pipelines.protocols import SegmentTranslator
from pipelines.types import Failure, Outcome, Segment

_LOGGER = logging.getLogger(__name__)
_COUNTED_S = 5.0  # as long a number of replicas is believed


@dataclass(slots=True)
class _Refused:
    """What was refused of one priority.

    Attributes:
        until_s: Until when, by the name of who refuses.
        work_s: What the last call would have taken.
        returns: Of those that are refused here.
    """

    until_s: dict[str, float] = field(default_factory=dict)
    work_s: float = 0.0
    returns: Returns = field(default_factory=Returns)


class Refusals:
    """A `SegmentTranslator` in front of another, whose refusals it repeats for as long as they hold.

    A replica that has not refused may have room (it has just started): as long as there is one, all calls are passed
    on. They are taken to have the same time until their deadlines, as those of one ingress have. One event loop at a
    time.

    Args:
        station: Where there are replicas that may be full.
        count_replicas: Returns how many there are; asked every few seconds, while there are refusals.
        clock_s: Any clock that never goes back.
    """

    def __init__(
        self,
        station: SegmentTranslator,
        count_replicas: Callable[[], Awaitable[int]],
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._station = station
        self._count_replicas = count_replicas
        self._clock_s = clock_s
        self._refused: dict[int, _Refused] = {}
        self._num_replicas: int | None = None
        self._counted_s = -_COUNTED_S
        self._counting: asyncio.Task[None] | None = None

    async def translate(self, segments: list[Segment]) -> list[Outcome]:
        """See `SegmentTranslator.translate`."""
        # As admission has it: the least urgent segment says what goes before the call, and no deadline, no refusal.
        priority = max((segment.priority for segment in segments), default=0)
        if all(segment.deadline_s is not None for segment in segments):
            for level, refused in self._refused.items():
                if level <= priority and self._all_are_full(refused):
                    return [Failure(self._refuse(refused))] * len(segments)
        outcomes = await self._station.translate(segments)
        for outcome in outcomes:
            if isinstance(outcome, Failure) and isinstance(outcome.error, OverloadedError) and outcome.error.full:
                self._remember(priority, outcome.error, outcome.error.full)
                break
        return outcomes

    def _all_are_full(self, refused: _Refused) -> bool:
        now_s = self._clock_s()
        if self._num_replicas is None or now_s - self._counted_s > _COUNTED_S:
            return False
        num_full = sum(until_s > now_s for until_s in refused.until_s.values())
        return 0 < self._num_replicas <= num_full

    def _refuse(self, refused: _Refused) -> OverloadedError:
        retry_after_s = refused.returns.retry_after_s(
            self._clock_s(), max(refused.until_s.values()), refused.work_s / len(refused.until_s)
        )
        return OverloadedError("the service has more work than it can do in time", retry_after_s=retry_after_s)

    def _remember(self, priority: int, error: OverloadedError, full: Full) -> None:
        now_s = self._clock_s()
        refused = self._refused.setdefault(priority, _Refused())
        refused.until_s = {name: until_s for name, until_s in refused.until_s.items() if until_s > now_s}
        refused.until_s[full.name] = now_s + full.for_s
        refused.work_s = full.work_s
        refused.returns.hold(now_s + (error.retry_after_s or 0.0))
        if now_s - self._counted_s > _COUNTED_S / 2 and (self._counting is None or self._counting.done()):
            self._counting = asyncio.ensure_future(self._count())

    async def _count(self) -> None:
        try:
            self._num_replicas = await self._count_replicas()
        except Exception:  # of whoever counts; translations do not depend on it
            _LOGGER.warning("the replicas cannot be counted: all calls are passed on", exc_info=True)
            self._num_replicas = None
        self._counted_s = self._clock_s()
