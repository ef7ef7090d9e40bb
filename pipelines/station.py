"""An engine as a station: tokenise, wait for room, admit, collect each row as it finishes.

The same code runs inside a translator replica and in a plain process; they differ in who forms the encoder batch
(`Admit`). Knows no Ray.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future

from pipelines.errors import DeadlineExceededError
from pipelines.gate import AdmissionGate
from pipelines.protocols import EncodedSegment, Engine
from pipelines.types import Failure, Outcome, Segment

Admit = Callable[[EncodedSegment], Awaitable["Future[Outcome]"]]
"""Puts one row into an encoder batch; returns the row's future once the engine has it."""


def padded_tokens(rows: Sequence[EncodedSegment]) -> int:
    """What a batch costs the encoder: its rows times its longest row. Zero for no rows; never raises."""
    return len(rows) * max((row.num_tokens for row in rows), default=0)


class EngineStation:
    """Translates segments with an engine in this process. Belongs to one event loop.

    Args:
        engine: What runs the model.
        admit: Forms encoder batches; None takes a `TurnBatcher` of one encoder batch per turn of the loop.
    """

    def __init__(self, engine: Engine, admit: Admit | None = None) -> None:
        self._engine = engine
        self._admit = admit or TurnBatcher(engine).admit
        self._gate = AdmissionGate(engine.room, engine.max_rows)

    @property
    def num_waiting(self) -> int:
        """Segments that wait for a decoder row."""
        return self._gate.num_waiting

    async def translate(self, segments: list[Segment]) -> list[Outcome]:
        """See `SegmentTranslator.translate`. A cancelled caller's rows leave the engine within one step."""
        encoded = await asyncio.to_thread(self._engine.encode, segments)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._translate_row(row)) for row in encoded]
        return [task.result() for task in tasks]

    async def _translate_row(self, row: EncodedSegment | Failure) -> Outcome:
        if isinstance(row, Failure):
            return row
        deadline_unix_s = row.segment.deadline_unix_s
        time_left_s = None if deadline_unix_s is None else deadline_unix_s - time.time()
        try:
            async with asyncio.timeout(time_left_s):
                return await self._translate_in_time(row)
        except TimeoutError:
            return Failure(DeadlineExceededError("the translation was not done before the request's deadline"))

    async def _translate_in_time(self, row: EncodedSegment) -> Outcome:
        segment = row.segment
        num_rows = max(1, segment.decoding.num_beams)
        await self._gate.enter(num_rows, priority=segment.priority, deadline_unix_s=segment.deadline_unix_s)
        try:
            outcome = await self._admit(row)
        finally:
            self._gate.leave(num_rows)
        loop = asyncio.get_running_loop()
        outcome.add_done_callback(lambda _: _refresh_from_any_thread(loop, self._gate))
        return await asyncio.wrap_future(outcome)


def _refresh_from_any_thread(loop: asyncio.AbstractEventLoop, gate: AdmissionGate) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(gate.refresh)


class TurnBatcher:
    """Submits all rows that were let in during one turn of the event loop as one encoder batch.

    For a process of its own, where no `@serve.batch` forms the batch.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._rows: list[EncodedSegment] = []
        self._admitted: list[asyncio.Future[Future[Outcome]]] = []

    async def admit(self, row: EncodedSegment) -> Future[Outcome]:
        """Return the row's future once the engine has it."""
        loop = asyncio.get_running_loop()
        if not self._rows:
            loop.call_soon(self._submit)
        admitted: asyncio.Future[Future[Outcome]] = loop.create_future()
        self._rows.append(row)
        self._admitted.append(admitted)
        return await admitted

    def _submit(self) -> None:
        rows, self._rows = self._rows, []
        admitted, self._admitted = self._admitted, []
        for outcome, waiter in zip(self._engine.submit(rows), admitted, strict=True):
            if waiter.cancelled():
                outcome.cancel()
            else:
                waiter.set_result(outcome)
