"""An engine as a station: tokenise, wait for room, admit, collect each row as it finishes.

The same code runs inside a translator replica and in a plain process; they differ in who forms the encoder batch
(`Admit`). Knows no Ray.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Protocol

from pipelines.admission import Backlog, Promise, weighed_tokens
from pipelines.errors import DeadlineExceededError, OverloadedError
from pipelines.gate import AdmissionGate
from pipelines.protocols import EncodedSegment, Engine
from pipelines.types import Failure, Outcome, Segment, Translation

Admit = Callable[[EncodedSegment], Awaitable["Future[Outcome]"]]
"""Puts one row into an encoder batch; returns the row's future once the engine has it.

Who cancels it is told of no row, so it leaves none in the engine.
"""


def padded_tokens(rows: Sequence[EncodedSegment]) -> int:
    """What a batch costs the encoder: its rows times its longest row. Zero for no rows; never raises."""
    return len(rows) * max((row.num_tokens for row in rows), default=0)


class StationObserver(Protocol):
    """Is told of each stage as it ends, in the context of the call that it belongs to. Quick, and never raises."""

    def encoded(self, num_segments: int, duration_s: float) -> None:
        """Segments of one call were tokenised."""
        ...

    def queued(self, segment: Segment, duration_s: float) -> None:
        """A segment was let in at the gate."""
        ...

    def decoded(self, segment: Segment, outcome: Outcome, duration_s: float) -> None:
        """A segment has its outcome, so long after it was let in."""
        ...


class EngineStation:
    """Translates segments with an engine in this process. Belongs to one event loop.

    Args:
        engine: What runs the model.
        admit: Forms encoder batches; None takes a `TurnBatcher` of one encoder batch per turn of the loop.
        observer: Who is told of the stages; None is nobody.
        tokens_per_s: See `Backlog`; what was measured at warm-up.
        clock_s: The clock of the deadlines.
        name: See `Backlog`.
        model_revision: What translations are marked with.
    """

    def __init__(
        self,
        engine: Engine,
        admit: Admit | None = None,
        observer: StationObserver | None = None,
        *,
        tokens_per_s: float | None = None,
        clock_s: Callable[[], float] = time.monotonic,
        name: str = "",
        model_revision: str = "",
    ) -> None:
        self._engine = engine
        self._observer = observer
        self._admit = admit or TurnBatcher(engine).admit
        self._gate = AdmissionGate(engine.room, engine.max_rows)
        self._clock_s = clock_s
        self._model_revision = model_revision
        self.backlog = Backlog(clock_s, tokens_per_s, name)
        """What is under way here."""

    @property
    def num_waiting(self) -> int:
        """Segments that wait for a decoder row."""
        return self._gate.num_waiting

    @property
    def progress(self) -> tuple[int, int]:
        """What changes as long as the engine works: steps of its decoder, and rows that it has translated."""
        return self._engine.stats().num_steps, self.backlog.num_done

    async def translate(self, segments: list[Segment]) -> list[Outcome]:
        """See `SegmentTranslator.translate`. A cancelled caller's rows leave the engine within one step.

        A call that cannot be done by its deadline is refused as a whole, and at once.
        """
        started_s = time.perf_counter()
        encoded = await asyncio.to_thread(self._engine.encode, segments)
        if self._observer is not None:
            self._observer.encoded(len(segments), time.perf_counter() - started_s)
        rows = [row for row in encoded if isinstance(row, EncodedSegment)]
        try:
            with self._promise(rows) as promise:
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(self._translate_row(row, promise)) for row in encoded]
        except OverloadedError as refusal:
            return [row if isinstance(row, Failure) else Failure(refusal) for row in encoded]
        return [task.result() for task in tasks]

    def _promise(self, rows: list[EncodedSegment]) -> AbstractContextManager[Promise]:
        """All rows of a call or none: half of a text is of use to nobody."""
        segments = [row.segment for row in rows]
        return self.backlog.promise(
            rows,
            priority=max((segment.priority for segment in segments), default=0),
            deadline_s=earliest_deadline_s(segments),
        )

    async def _translate_row(self, row: EncodedSegment | Failure, promise: Promise) -> Outcome:
        if isinstance(row, Failure):
            return row
        deadline_s = row.segment.deadline_s
        time_left_s = None if deadline_s is None else deadline_s - self._clock_s()
        try:
            async with asyncio.timeout(time_left_s):
                outcome = await self._translate_in_time(row)
        except TimeoutError:
            return Failure(DeadlineExceededError("the translation was not done before the request's deadline"))
        if isinstance(outcome, Translation):
            promise.fulfil(weighed_tokens(row), is_crowded=self._gate.is_crowded)
            return replace(outcome, model_revision=self._model_revision)
        return outcome

    async def _translate_in_time(self, row: EncodedSegment) -> Outcome:
        segment = row.segment
        num_rows = max(1, segment.decoding.num_beams)
        arrived_s = time.perf_counter()
        await self._gate.enter(num_rows, priority=segment.priority, deadline_s=segment.deadline_s)
        entered_s = time.perf_counter()
        if self._observer is not None:
            self._observer.queued(segment, entered_s - arrived_s)
        try:
            pending = await self._admit(row)
        finally:
            self._gate.leave(num_rows)
        loop = asyncio.get_running_loop()
        pending.add_done_callback(lambda _: _refresh_from_any_thread(loop, self._gate))
        outcome = await asyncio.wrap_future(pending)
        if self._observer is not None:
            self._observer.decoded(segment, outcome, time.perf_counter() - entered_s)
        return outcome


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
        """See `Admit`."""
        loop = asyncio.get_running_loop()
        if not self._rows:
            loop.call_soon(self._submit)
        admitted: asyncio.Future[Future[Outcome]] = loop.create_future()
        self._rows.append(row)
        self._admitted.append(admitted)
        try:
            return await admitted
        except asyncio.CancelledError:
            if not admitted.cancelled() and admitted.exception() is None:
                admitted.result().cancel()  # it was on its way back
            raise

    def _submit(self) -> None:
        rows, self._rows = self._rows, []
        admitted, self._admitted = self._admitted, []
        try:
            for outcome, waiter in zip(self._engine.submit(rows), admitted, strict=True):
                if waiter.cancelled():
                    outcome.cancel()
                else:
                    waiter.set_result(outcome)
        except Exception as error:  # the loop would only log it, and whoever waits would wait for ever
            for waiter in admitted:
                if not waiter.done():
                    waiter.set_exception(error)


def earliest_deadline_s(segments: Sequence[Segment]) -> float | None:
    """Return the deadline that a call with these segments has to meet, or None where none has one."""
    return min((segment.deadline_s for segment in segments if segment.deadline_s is not None), default=None)
