"""Encoder batches end when they are full, or when their first row is due, whatever the wall clock says."""

from __future__ import annotations

import asyncio
import math
import time
from concurrent.futures import Future
from types import SimpleNamespace

import pytest
import ray.serve.batching
from ray import serve

from deployments.portions import Portion, share_of_budget
from pipelines.protocols import EncodedSegment
from pipelines.types import Outcome, Segment
from tests.fakes import ManualEngine


def portion(num_tokens: int, *, due_s: float = math.inf) -> Portion:
    """Return a row of so many tokens for batches of 100."""
    row = EncodedSegment(Segment("?", "eng_Latn", "fra_Latn"), tuple(range(num_tokens)))
    return Portion(row, budget_tokens=100, due_s=due_s)


def test_a_batch_is_as_full_as_its_padded_tokens() -> None:
    """Each row counts as the longest does."""
    assert share_of_budget([]) == 0
    assert share_of_budget([portion(20), portion(10)]) == pytest.approx(0.4)


def test_a_batch_whose_first_row_is_due_is_full() -> None:
    """Just full, so that nothing is put back; one over its budget stays over it."""
    assert share_of_budget([portion(20, due_s=0.0), portion(10)]) == 1
    assert share_of_budget([portion(60, due_s=0.0), portion(10)]) == pytest.approx(1.2)


class WallClock:
    """The module `time` as Serve sees it: of the wall clock it is told what the test says."""

    def __init__(self) -> None:
        self.offset_s = 0.0

    def time(self) -> float:
        """Return the wall clock's time."""
        return time.time() + self.offset_s


async def test_a_clock_that_is_set_back_holds_no_row_longer_than_until_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Serve would wait for an hour more; a row that is due ends its batch when Serve looks at it again."""
    clock = WallClock()
    replica = SimpleNamespace(_deployment_config=SimpleNamespace(max_ongoing_requests=100))
    monkeypatch.setattr(ray.serve.batching, "time", clock)
    monkeypatch.setattr(serve, "get_replica_context", lambda: replica)
    batches: list[int] = []

    @serve.batch(max_batch_size=1, batch_wait_timeout_s=0.1, batch_size_fn=share_of_budget)
    async def admit(portions: list[Portion]) -> list[None]:
        batches.append(len(portions))
        return [None] * len(portions)

    def arrive() -> asyncio.Future[None]:
        return asyncio.ensure_future(admit(portion(10, due_s=time.monotonic() + 0.1)))

    async with asyncio.timeout(30):
        alone = arrive()
        await asyncio.sleep(0.05)
        clock.offset_s -= 3600
        await alone
        first = arrive()
        await asyncio.sleep(0.05)
        clock.offset_s -= 3600
        second = arrive()  # at which Serve looks at the clock again
        await asyncio.sleep(0.2)
        await asyncio.gather(first, second, arrive())
    assert batches[0] == 1
    assert sum(batches) == 4


async def test_who_is_cancelled_as_its_batch_gets_into_the_engine_leaves_no_row_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Serve has the answer already and tells nobody: the row is taken out again. One that waits is never put in."""
    replica = SimpleNamespace(_deployment_config=SimpleNamespace(max_ongoing_requests=100))
    monkeypatch.setattr(serve, "get_replica_context", lambda: replica)
    engine = ManualEngine()
    callers: list[asyncio.Task[Future[Outcome]]] = []

    @serve.batch(max_batch_size=1, batch_wait_timeout_s=0.01, batch_size_fn=share_of_budget)
    async def admit(portions: list[Portion]) -> list[Future[Outcome]]:
        outcomes = engine.submit([portion.row for portion in portions])
        for each, outcome in zip(portions, outcomes, strict=True):
            each.outcome = outcome
        asyncio.get_running_loop().call_soon(callers[0].cancel)  # before it is told
        return outcomes

    for each in (portion(10), portion(11), portion(12)):
        callers.append(asyncio.ensure_future(each.admitted(admit(each))))
    await asyncio.sleep(0)
    callers[2].cancel()
    await asyncio.wait(callers)
    assert [caller.cancelled() for caller in callers] == [True, False, True]
    assert [(row.num_tokens, future.cancelled()) for row, future in engine.rows] == [(10, True), (11, False)]
