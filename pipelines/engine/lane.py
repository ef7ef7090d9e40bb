"""A thread that keeps a batch of rows decoding while others join and leave.

Knows the scheduler and the batch; nothing of the tokenizer, of other lanes, or of where rows come from.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from functools import partial

import torch

from pipelines.engine.batch import Finished, RunningBatch
from pipelines.engine.live import Request
from pipelines.engine.rows import Row, RowDesk
from pipelines.engine.scheduler import Scheduler
from pipelines.errors import DeadlineExceededError, EngineError, UnavailableError
from pipelines.types import Failure, Outcome

_LOGGER = logging.getLogger(__name__)


class Lane:
    """Rows of an engine that are decoded together.

    Args:
        batch: What decodes; owned by the lane's thread from here on.
        scheduler: Decides who joins; likewise.
        desk: Answers rows.
        clock: Of the deadlines, in seconds.
        num_threads: Returns how many threads an operation may have now.
    """

    def __init__(
        self,
        batch: RunningBatch,
        scheduler: Scheduler,
        desk: RowDesk,
        clock: Callable[[], float],
        num_threads: Callable[[], int],
    ) -> None:
        self._batch = batch
        self._scheduler = scheduler
        self._desk = desk
        self._clock = clock
        self._num_threads = num_threads
        self._num_threads_now = 0
        self._turn_began_s: float | None = None
        self._rows: dict[int, Row] = {}  # of the thread
        self.num_steps = 0
        """Steps of the decoder."""
        self.num_row_steps = 0
        """Rows, summed over those steps."""
        self._changed = threading.Condition()  # guards what follows
        self._inbox: list[Row] = []
        self._num_rows = 0
        self._closing = False
        self._has_ended = False
        self._thread = threading.Thread(target=self._run, name="decoding-lane", daemon=True)
        self._thread.start()

    @property
    def num_rows(self) -> int:
        """Rows inside, those that wait included."""
        return self._num_rows

    @property
    def turn_s(self) -> float:
        """Seconds that the present turn takes so far; 0 while there is nothing to do."""
        began_s = self._turn_began_s
        return 0.0 if began_s is None else self._clock() - began_s

    @property
    def has_ended(self) -> bool:
        """Whether it decodes no more, because it was closed or because its device cannot be used any more."""
        return self._has_ended

    def put(self, rows: Sequence[Row]) -> None:
        """Take rows in, to be encoded together if they can join at once; their futures are resolved from the thread."""
        with self._changed:
            for row in rows:
                self._num_rows += row.num_rows
                row.future.add_done_callback(partial(self._make_room, row.num_rows))
            has_ended = self._has_ended
            if not has_ended:
                self._inbox += rows
                self._changed.notify()
        for row in rows if has_ended else ():
            self._answer(row, self._ended())

    def close(self) -> None:
        """Resolve rows that are left to `Failure(UnavailableError)`. Returns once the thread has ended."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _make_room(self, num_rows: int, _: object) -> None:
        """Count a row out, answered or cancelled: a cancelled one is dropped before others join."""
        with self._changed:
            self._num_rows -= num_rows

    def _answer(self, row: Row, outcome: Outcome) -> None:
        self._desk.release(row)
        if row.future.set_running_or_notify_cancel():
            row.future.set_result(outcome)

    def _ended(self) -> Failure:
        reason = "the engine is closed" if self._closing else "the engine has stopped after an error"
        return Failure(UnavailableError(reason))

    # What follows runs in the lane's thread.

    def _run(self) -> None:
        try:
            while self._receive():
                try:
                    self._turn()
                except Exception:
                    _LOGGER.exception("the batch is in an unknown state; all its rows begin again")
                    self._begin_again()
        except Exception:  # the device cannot be used any more
            _LOGGER.exception("decoding has stopped; this process has to be replaced")
        finally:
            self._end()

    def _receive(self) -> bool:
        """Take what was put in, waiting for it if there is nothing else to do. False once closing."""
        self._turn_began_s = None
        with self._changed:
            while not (self._inbox or self._rows or self._closing):
                self._changed.wait()
            arrived, self._inbox = self._inbox, []
        self._turn_began_s = self._clock()
        self._rows |= {row.request.key: row for row in arrived}
        for row in arrived:
            self._scheduler.add(row.ticket)
        return not self._closing

    def _turn(self) -> None:
        """One step: forget, admit, decode, answer."""
        self._take_threads()
        self._forget()
        self._join([self._rows[ticket.key].request for ticket in self._scheduler.admit()])
        if self._batch.keys:
            for finished in self._step():
                self._resolve(finished.key, self._outcome(finished))

    def _take_threads(self) -> None:
        wanted = self._num_threads()
        if wanted != self._num_threads_now:
            torch.set_num_threads(wanted)  # of this thread's operations, and of threads that begin later
            self._num_threads_now = wanted

    def _forget(self) -> None:
        """Drop rows that nobody waits for any more."""
        now = self._clock()
        for key, row in list(self._rows.items()):
            deadline = row.encoded.segment.deadline_s
            if row.future.cancelled():
                self._resolve(key, Failure(UnavailableError("the row was cancelled")))
            elif deadline is not None and deadline < now:
                self._resolve(key, Failure(DeadlineExceededError("the translation was not done before its deadline")))

    def _join(self, requests: list[Request]) -> None:
        """Encode requests; if that fails, halves of them, so that one bad row fails alone."""
        if not requests:
            return
        try:
            self._batch.join(requests)
        except Exception as error:
            if len(requests) == 1:
                _LOGGER.exception("a row could not be encoded")
                self._resolve(requests[0].key, Failure(_engine_error(error)))
                return
            half = len(requests) // 2
            self._join(requests[:half])
            self._join(requests[half:])

    def _step(self) -> list[Finished]:
        """Decode; if that fails, begin again with half as many rows at a time. A row that fails alone is answered."""
        running = self._scheduler.running
        try:
            finished = self._batch.step()
        except Exception as error:
            _LOGGER.exception("a step of %d rows failed; the batch is halved", len(running))
            self._begin_again()
            if len(running) == 1:
                self._resolve(running[0].key, Failure(_engine_error(error)))
            return []
        self.num_steps += 1
        self.num_row_steps += sum(ticket.num_rows for ticket in running)
        return finished

    def _outcome(self, finished: Finished) -> Outcome:
        try:
            return self._desk.outcome(self._rows[finished.key], finished)
        except Exception as error:
            _LOGGER.exception("an output could not be read")
            return Failure(_engine_error(error))

    def _begin_again(self) -> None:
        self._batch.clear()
        self._scheduler.retreat()

    def _resolve(self, key: int, outcome: Outcome) -> None:
        """Answer a row and forget it, wherever it is."""
        row = self._rows.pop(key)
        self._scheduler.leave(key)
        try:
            self._batch.drop({key})
        finally:
            self._answer(row, outcome)

    def _end(self) -> None:
        """Answer all that is left, without the batch: it may be what failed."""
        self._turn_began_s = None
        with self._changed:
            self._has_ended = True
            arrived, self._inbox = self._inbox, []
        left, self._rows = [*self._rows.values(), *arrived], {}
        for row in left:
            self._answer(row, self._ended())


def _engine_error(error: Exception) -> EngineError:
    reason = "there is not enough memory for it" if isinstance(error, torch.OutOfMemoryError) else "the model failed"
    return EngineError(f"{reason}: this segment could not be translated")
