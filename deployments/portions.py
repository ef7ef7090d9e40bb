"""When is an encoder batch full? By its padded tokens, and by how long its first row has waited."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from pipelines.protocols import EncodedSegment
from pipelines.station import padded_tokens
from pipelines.types import Outcome


@dataclass(slots=True, eq=False)
class Portion:
    """A row that waits for an encoder batch.

    Attributes:
        row: What is translated.
        budget_tokens: The most padded tokens of a batch that it may be in.
        due_s: When it has waited long enough, by the monotonic clock.
        outcome: Once the engine has it.
    """

    row: EncodedSegment
    budget_tokens: int
    due_s: float
    outcome: Future[Outcome] | None = None

    async def admitted(self, batch: Awaitable[Future[Outcome]]) -> Future[Outcome]:
        """Wait for the batch that it was given to; see `pipelines.station.Admit`."""
        try:
            return await batch
        except asyncio.CancelledError:
            # Serve forgets a portion that is cancelled while it waits, but not one that is on its way back.
            if self.outcome is not None:
                self.outcome.cancel()
            raise


def share_of_budget(portions: Sequence[Portion]) -> float:
    """Return how full a batch is, 1 being full; never raises, because `@serve.batch` would hang.

    In tokens, its largest batch would be over `max_ongoing_requests`, and Serve, which takes it for requests, warn.

    A batch whose first row is due is full: `@serve.batch` counts the wait by the wall clock, so that where this is set
    back by an hour it would wait for an hour. Now it ends in time, or with the next row or health probe.
    """
    if not portions:
        return 0.0
    share = padded_tokens([portion.row for portion in portions]) / portions[0].budget_tokens
    return max(share, 1.0) if time.monotonic() >= portions[0].due_s else share
