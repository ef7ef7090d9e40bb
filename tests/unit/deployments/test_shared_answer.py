"""One answer for all who ask within its lifetime."""

from __future__ import annotations

import asyncio

import pytest

from deployments.shared_answer import SharedAnswer
from tests.unit.pipelines.cache.fakes import Clock


async def test_who_asks_in_time_gets_the_same_answer() -> None:
    """However many there are, at once or later; after its lifetime it is found anew."""
    clock, found = Clock(), 0

    async def find() -> int:
        nonlocal found
        await asyncio.sleep(0)
        found += 1
        return found

    answer = SharedAnswer(find, 1.0, clock)
    assert await asyncio.gather(*(answer.get() for _ in range(5))) == [1] * 5
    clock.now_s = 1.0
    assert await answer.get() == 1
    clock.now_s = 1.5
    assert await asyncio.gather(*(answer.get() for _ in range(5))) == [2] * 5


async def test_what_cannot_be_found_is_looked_for_again() -> None:
    """The error is for who asked; an answer from before is too old to stand in."""
    clock = Clock()
    outcomes: list[int | Exception] = [1, OSError("away"), 2]

    async def find() -> int:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    answer = SharedAnswer(find, 1.0, clock)
    assert await answer.get() == 1
    clock.now_s = 2.0
    with pytest.raises(OSError, match="away"):
        await answer.get()
    assert await answer.get() == 2


async def test_who_gives_up_takes_nobody_along() -> None:
    """The next in the line finds the answer."""
    started = asyncio.Event()

    async def find() -> str:
        if not started.is_set():
            started.set()
            await asyncio.Event().wait()
        return "found"

    answer = SharedAnswer(find, 1.0)
    first = asyncio.create_task(answer.get())
    await started.wait()
    second = asyncio.create_task(answer.get())
    first.cancel()
    assert await second == "found"
