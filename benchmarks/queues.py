"""Each system of `benchmarks.inflight` in a process of its own, fed with requests as they arrive.

A worker loads its system, prints one line of JSON, and then answers each line of JSON on its standard input, a list of
arrivals, with the time at which each was done, in seconds from the first's start.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.workers import HUGE_PAGES

NUM_THREADS = int(os.environ.get("OMP_NUM_THREADS", "2"))
LIMIT_ROWS = 32


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request: when it comes, in seconds from the start, its source, and how many tokens its output has."""

    at_s: float
    source: list[int]
    num_tokens: int


class QueueWorker:
    """A running worker process.

    Args:
        system: One of `SYSTEMS`.
        num_threads: Of one operation.
    """

    def __init__(self, system: str, num_threads: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.queues", system],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **HUGE_PAGES, "OMP_NUM_THREADS": str(num_threads)},
        )

    def wait(self) -> None:
        """Return when the system is loaded; once."""
        self._read()

    def run(self, arrivals: list[Arrival]) -> list[float]:
        """Return when each request was done, in seconds from the start."""
        assert self._process.stdin is not None
        print(json.dumps([asdict(arrival) for arrival in arrivals]), file=self._process.stdin, flush=True)
        return [float(done_s) for done_s in self._read()]

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("a worker ended early")
        return json.loads(line)


class _Queue:
    """Requests that have arrived and wait, by the clock."""

    def __init__(self, arrivals: list[Arrival]) -> None:
        self._arrivals = arrivals
        self._next = 0
        self._started = time.perf_counter()
        self.waiting: list[int] = []
        self.done_s = [0.0] * len(arrivals)
        self._num_done = 0

    @property
    def is_over(self) -> bool:
        return self._num_done == len(self._arrivals)

    def receive(self, *, idle: bool) -> None:
        """Move what has arrived to `waiting`; if there is nothing else to do, wait for the next one."""
        if idle and not self.waiting and self._next < len(self._arrivals):
            time.sleep(max(0.0, self._arrivals[self._next].at_s - self._now()))
        while self._next < len(self._arrivals) and self._arrivals[self._next].at_s <= self._now():
            self.waiting.append(self._next)
            self._next += 1

    def finish(self, index: int) -> None:
        self.done_s[index] = self._now()
        self._num_done += 1

    def _now(self) -> float:
        return time.perf_counter() - self._started


Serve = Callable[[list[Arrival]], list[float]]


def _inflight() -> Serve:
    """The engine as a translator runs it."""
    from benchmarks.synthetic import DTYPE, synthetic_engine, synthetic_row

    engine = synthetic_engine(DTYPE, NUM_THREADS)

    def serve(arrivals: list[Arrival]) -> list[float]:
        started_s = time.perf_counter()
        done_s = [0.0] * len(arrivals)
        num_done = threading.Semaphore(0)

        def note(index: int, _: object) -> None:
            done_s[index] = time.perf_counter() - started_s
            num_done.release()

        for index, arrival in enumerate(arrivals):
            if (early_s := started_s + arrival.at_s - time.perf_counter()) > 0:
                time.sleep(early_s)
            (future,) = engine.submit([synthetic_row(arrival.source, arrival.num_tokens)])
            future.add_done_callback(partial(note, index))
        for _ in arrivals:
            num_done.acquire()
        return done_s

    return serve


def _static() -> Serve:
    """The engine's own scheduler and batch, stepped here with all threads to the end of each batch."""
    import torch

    from benchmarks.synthetic import DTYPE, LANGUAGE_ID, synthetic_batch
    from pipelines.engine.live import Request
    from pipelines.engine.scheduler import Scheduler, Ticket
    from pipelines.types import DecodingOptions

    torch.set_num_threads(NUM_THREADS)
    batch, _ = synthetic_batch(DTYPE)

    def serve(arrivals: list[Arrival]) -> list[float]:
        queue, scheduler = _Queue(arrivals), Scheduler(LIMIT_ROWS)
        while not queue.is_over:
            queue.receive(idle=not batch.keys and not scheduler.waiting)
            for index in queue.waiting:
                arrival = arrivals[index]
                size = len(arrival.source)
                scheduler.add(Ticket(index, 1, size, arrival.num_tokens + 1))
            queue.waiting.clear()
            if not batch.keys:
                joining = [
                    Request(
                        ticket.key,
                        tuple(arrivals[ticket.key].source),
                        LANGUAGE_ID + 1,
                        arrivals[ticket.key].num_tokens,
                        DecodingOptions(min_new_tokens=arrivals[ticket.key].num_tokens),
                    )
                    for ticket in scheduler.admit()
                ]
                if joining:
                    batch.join(joining)
            for finished in batch.step() if batch.keys else ():
                scheduler.leave(finished.key)
                queue.finish(finished.key)
        return queue.done_s

    return serve


def _ctranslate2() -> Serve:
    """A loop that gives CTranslate2 what waits, as one batch; its rows end by themselves at their own lengths.

    CTranslate2 has one length for all rows of a call; so every source gets a callback that ends its row in time.
    """
    import ctranslate2

    from benchmarks.synthetic import DEVICE, DTYPE, LANGUAGE_ID, converted_checkpoint

    converted = converted_checkpoint()
    translator = ctranslate2.Translator(
        str(converted), device=DEVICE, compute_type=DTYPE, inter_threads=1, intra_threads=NUM_THREADS
    )
    tokens = json.loads((Path(converted) / "shared_vocabulary.json").read_text(encoding="utf-8"))

    def serve(arrivals: list[Arrival]) -> list[float]:
        queue, lock = _Queue(arrivals), threading.Lock()
        while not queue.is_over:
            queue.receive(idle=True)
            members = queue.waiting[:LIMIT_ROWS]
            del queue.waiting[:LIMIT_ROWS]

            longest = 1 + max(arrivals[index].num_tokens for index in members)  # with the language's token

            def ends(step: Any, members: list[int] = members) -> bool:
                with lock:  # the first step's number is 0, and the language's own
                    return bool(step.step >= arrivals[members[step.batch_id]].num_tokens)

            translator.translate_batch(
                [[tokens[token] for token in arrivals[index].source] for index in members],
                target_prefix=[[tokens[LANGUAGE_ID + 1]]] * len(members),
                beam_size=1,
                min_decoding_length=longest,
                max_decoding_length=longest,
                callback=ends,
            )
            for index in members:
                queue.finish(index)
        return queue.done_s

    return serve


SYSTEMS: dict[str, Callable[[], Serve]] = {
    "inflight": _inflight,
    "static": _static,
    "ctranslate2": _ctranslate2,
}


def main() -> None:
    """Serve one system on standard input and output."""
    warnings.simplefilter("ignore")
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries that print must not break the protocol
    serve = SYSTEMS[sys.argv[1]]()
    print("{}", file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(serve([Arrival(**arrival) for arrival in json.loads(line)])), file=answers, flush=True)


if __name__ == "__main__":
    main()
