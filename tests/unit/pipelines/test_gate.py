"""The gate: order, room, and that nobody starves."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from pipelines.gate import MAX_OVERTAKINGS, AdmissionGate


async def _until(condition: object) -> None:
    async with asyncio.timeout(10):
        while not condition():  # type: ignore[operator]  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def test_a_beam_takes_as_many_rows_as_it_is_wide() -> None:
    """Two beams of three do not fit into four rows."""
    gate = AdmissionGate(lambda: 4, 4)
    await gate.enter(3)
    second = asyncio.create_task(gate.enter(3))
    await _until(lambda: gate.num_waiting == 1)
    gate.leave(3)
    await second


async def test_who_gives_up_leaves_the_gate() -> None:
    """Behind one who waits, callers that were cancelled are kept in no number, and not counted."""
    gate = AdmissionGate(lambda: 0, 1)
    waiting = asyncio.create_task(gate.enter(1))
    for _ in range(50):
        others = [asyncio.create_task(gate.enter(1, priority=1)) for _ in range(20)]
        await _until(lambda: gate.num_waiting == 21)
        for other in others:
            other.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        assert gate.num_waiting == 1
    assert len(gate._by_urgency) < 50
    assert len(gate._by_arrival) < 50
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert not gate.is_crowded


@given(rows=st.lists(st.integers(1, 9), min_size=1, max_size=20), max_rows=st.integers(1, 6))
def test_everyone_is_let_in_in_the_end(rows: list[int], max_rows: int) -> None:
    """Whatever they need, nobody waits forever and the rows are never exceeded."""

    async def run() -> None:
        gate = AdmissionGate(lambda: max_rows, max_rows)
        inside = 0

        async def pass_through(num_rows: int) -> None:
            nonlocal inside
            await gate.enter(num_rows)
            inside += min(num_rows, max_rows)
            assert inside <= max_rows
            await asyncio.sleep(0)
            inside -= min(num_rows, max_rows)
            gate.leave(num_rows)

        await asyncio.wait_for(asyncio.gather(*map(pass_through, rows)), 10)
        assert gate.num_waiting == 0

    asyncio.run(run())


async def test_who_gives_up_makes_room_for_those_behind() -> None:
    """One that needs fewer rows than were free all the time is let in at once."""
    gate = AdmissionGate(lambda: 4, 8)
    wide = asyncio.create_task(gate.enter(8))
    await _until(lambda: gate.num_waiting == 1)
    narrow = asyncio.create_task(gate.enter(1))
    await _until(lambda: gate.num_waiting == 2)
    wide.cancel()
    async with asyncio.timeout(10):
        await narrow


async def test_people_go_before_a_batch_that_still_goes_on() -> None:
    """Each is let in before the batch as long as it waits, but for every seventeenth of those that are let in."""
    free = 0
    gate = AdmissionGate(lambda: free, 1000)
    let_in: list[str] = []

    async def enter(name: str, priority: int) -> None:
        await gate.enter(1, priority=priority)
        let_in.append(name)

    tasks = [asyncio.create_task(enter("item", 1)) for _ in range(2)]
    tasks += [asyncio.create_task(enter("person", 0)) for _ in range(40)]
    await _until(lambda: gate.num_waiting == len(tasks))
    free = len(tasks)
    gate.refresh()
    await asyncio.gather(*tasks)
    assert let_in == [*["person"] * MAX_OVERTAKINGS, "item"] * 2 + ["person"] * (40 - 2 * MAX_OVERTAKINGS)


_CALLERS = st.lists(
    st.tuples(st.integers(-1, 2), st.none() | st.floats(0, 9), st.integers(1, 3)), min_size=1, max_size=6
)


@given(first=_CALLERS, stream=_CALLERS, num_who_give_up=st.integers(0, 5))
def test_nobody_is_overtaken_for_ever(
    first: list[tuple[int, float | None, int]], stream: list[tuple[int, float | None, int]], num_who_give_up: int
) -> None:
    """At most so many overtake a caller, and as many again for each that came before it, whoever goes on coming."""

    async def run() -> None:
        free = 0
        gate = AdmissionGate(lambda: free, 3)
        waiting: dict[int, asyncio.Task[None]] = {}  # by arrival
        num_overtakings: Counter[int] = Counter()
        bounds: dict[int, int] = {}
        callers = itertools.chain(first, itertools.islice(itertools.cycle(stream), 150))
        for arrival, (priority, deadline_s, num_rows) in enumerate(callers):
            bounds[arrival] = MAX_OVERTAKINGS * (len(waiting) + 1)
            waiting[arrival] = asyncio.create_task(gate.enter(num_rows, priority=priority, deadline_s=deadline_s))
            if arrival < len(first):
                continue
            await asyncio.sleep(0)
            if arrival % 10 < num_who_give_up:
                waiting.pop(max(waiting)).cancel()
            free += 1
            gate.refresh()
            for _ in range(3):
                await asyncio.sleep(0)
            for let_in in [each for each, task in waiting.items() if task.done()]:
                del waiting[let_in]
                num_overtakings.update(each for each in waiting if each < let_in)
            assert all(num_overtakings[each] <= bounds[each] for each in waiting)
        for task in waiting.values():
            task.cancel()
        await asyncio.gather(*waiting.values(), return_exceptions=True)
        assert gate.num_waiting == 0

    asyncio.run(run())


async def test_who_is_cancelled_once_let_in_takes_no_room() -> None:
    """It was let in, and never came to know: the next one takes its rows."""
    free = 0
    gate = AdmissionGate(lambda: free, 1)
    caller = asyncio.create_task(gate.enter(1))
    await _until(lambda: gate.num_waiting == 1)
    free = 1
    gate.refresh()
    caller.cancel()
    await asyncio.wait([caller])
    assert caller.cancelled()
    async with asyncio.timeout(10):
        await gate.enter(1)
