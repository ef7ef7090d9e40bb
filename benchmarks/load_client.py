"""Sends jobs and measures what comes back: as fast as answers come (closed loop), or at its own rate (open loop).

In an open loop requests are due at fixed times and their latency counts from then, whether or not the client came to
send them: a slow answer delays nobody's clock, so it is not hidden ("coordinated omission", Tene 2013).

What is measured is a window of a load that goes on before and after it. A rate is what was done within the window: what
was begun before and what is not done at its end make up for each other.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import aiohttp

from benchmarks.load_work import Job

_TIMEOUT_S = 180.0
_REFUSED = frozenset({429, 503})


class Answer(NamedTuple):
    """What came of a job: an HTTP status, 0 if nothing came, and when the client may try again."""

    status: int
    retry_after_s: float = 0.0


Send = Callable[[Job], Awaitable[Answer]]


@dataclass
class Sample:
    """What came of the jobs of a window.

    Attributes:
        duration_s: Length of the window.
        num_done: Jobs whose translation came within it.
        num_characters: Of their texts.
        latencies_s: Of translations, sorted.
        statuses: How many jobs were answered how.
    """

    duration_s: float
    num_done: int = 0
    num_characters: int = 0
    latencies_s: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    @property
    def characters_per_s(self) -> float:
        """Translated source text per second: the unit that all systems share."""
        return self.num_characters / self.duration_s

    @property
    def requests_per_s(self) -> float:
        """Translations per second."""
        return self.num_done / self.duration_s

    @property
    def num_refused(self) -> int:
        """Answers 429 and 503."""
        return sum(self.statuses[status] for status in _REFUSED)

    @property
    def num_failed(self) -> int:
        """Everything that was neither a translation nor a refusal."""
        return self.statuses.total() - self.statuses[200] - self.num_refused

    def percentile_ms(self, percent: float) -> float:
        """Return a latency that this share of the translations did not exceed."""
        if not self.latencies_s:
            return float("nan")
        index = min(len(self.latencies_s) - 1, int(len(self.latencies_s) * percent / 100))
        return self.latencies_s[index] * 1000


async def closed_loop(send: Send, jobs: Sequence[Job], *, num_clients: int, warm_s: float, duration_s: float) -> Sample:
    """Let so many clients send one job after the other; one that is refused waits as long as it is told to."""
    queue = itertools.cycle(jobs)
    started_s = time.perf_counter()
    window = _Window(started_s + warm_s, duration_s)

    async def client() -> None:
        while True:
            job, began_s = next(queue), time.perf_counter()
            answer = await send(job)
            window.done(job, answer)
            if window.contains(time.perf_counter()):
                window.answered(answer, time.perf_counter() - began_s)
            await asyncio.sleep(answer.retry_after_s)

    clients = [asyncio.create_task(client()) for _ in range(num_clients)]
    await asyncio.wait(clients, timeout=warm_s + duration_s)
    for each in clients:
        each.cancel()
    for ended in await asyncio.gather(*clients, return_exceptions=True):
        if not isinstance(ended, asyncio.CancelledError):
            raise ended  # type: ignore[misc]  # a client never returns
    return window.sample()


async def open_loop(
    send: Send, jobs: Sequence[Job], *, requests_per_s: float, warm_s: float, duration_s: float
) -> Sample:
    """Send each job when it is due, over as many connections as that takes, and wait for all answers."""
    queue = itertools.cycle(jobs)
    started_s = time.perf_counter()
    window = _Window(started_s + warm_s, duration_s)

    async def one(job: Job, due_s: float) -> None:
        answer = await send(job)
        window.done(job, answer)
        if window.contains(due_s):
            window.answered(answer, time.perf_counter() - due_s)

    async with asyncio.TaskGroup() as group:
        for index in range(int(requests_per_s * (warm_s + duration_s))):
            due_s = started_s + index / requests_per_s
            # Never sleep past what is due already: then several are sent at once.
            if (early_s := due_s - time.perf_counter()) > 0:
                await asyncio.sleep(early_s)
            group.create_task(one(next(queue), due_s))
    return window.sample()


@asynccontextmanager
async def http_sender(url: str) -> AsyncIterator[Send]:
    """Yield what posts jobs to a URL over as many connections as it takes."""
    limits = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=limits, timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S)) as session:

        async def send(job: Job) -> Answer:
            try:
                async with session.post(url, json=job.body()) as response:
                    await response.read()
            except (aiohttp.ClientError, TimeoutError):
                return Answer(0)
            retry_after_s = float(response.headers.get("Retry-After", 1)) if response.status in _REFUSED else 0.0
            return Answer(response.status, retry_after_s)

        yield send


class _Window:
    """The time that is measured."""

    def __init__(self, start_s: float, duration_s: float) -> None:
        self._start_s = start_s
        self._sample = Sample(duration_s)

    def contains(self, time_s: float) -> bool:
        return self._start_s <= time_s < self._start_s + self._sample.duration_s

    def done(self, job: Job, answer: Answer) -> None:
        if answer.status == 200 and self.contains(time.perf_counter()):
            self._sample.num_done += 1
            self._sample.num_characters += len(job.text)

    def answered(self, answer: Answer, latency_s: float) -> None:
        self._sample.statuses[answer.status] += 1
        if answer.status == 200:
            self._sample.latencies_s.append(latency_s)

    def sample(self) -> Sample:
        self._sample.latencies_s.sort()
        return self._sample
