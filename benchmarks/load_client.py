"""Sends translations over HTTP and measures: as fast as answers come (closed loop), or at its own rate (open loop).

In an open loop requests are due at fixed times and their latency counts from then, whether or not the client came to
send them: a slow answer delays nobody's clock, so it is not hidden ("coordinated omission", Tene 2013).
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import aiohttp


@dataclass
class Sample:
    """What came of a number of requests.

    Attributes:
        latencies_s: Of the translations that came, sorted.
        num_refused: Answers 429 and 503.
        num_failed: Everything else that was no translation.
        num_characters: Of the texts that were translated.
        duration_s: From the first request to the last answer.
    """

    latencies_s: list[float] = field(default_factory=list)
    num_refused: int = 0
    num_failed: int = 0
    num_characters: int = 0
    duration_s: float = 0.0

    @property
    def characters_per_s(self) -> float:
        """Translated source text per second: the unit that all systems share."""
        return self.num_characters / self.duration_s

    @property
    def requests_per_s(self) -> float:
        """Translations per second."""
        return len(self.latencies_s) / self.duration_s

    def percentile_ms(self, percent: float) -> float:
        """Return a latency that this share of the translations did not exceed."""
        if not self.latencies_s:
            return float("nan")
        index = min(len(self.latencies_s) - 1, int(len(self.latencies_s) * percent / 100))
        return self.latencies_s[index] * 1000


async def closed_loop(url: str, texts: Sequence[str], *, num_clients: int, duration_s: float) -> Sample:
    """Let so many clients translate one text after the other."""
    sample, queue = Sample(), itertools.cycle(texts)
    async with _session(num_clients) as session:
        started_s = time.perf_counter()

        async def client() -> None:
            while time.perf_counter() - started_s < duration_s:
                await _send(session, url, next(queue), time.perf_counter(), sample)

        await asyncio.gather(*(client() for _ in range(num_clients)))
        sample.duration_s = time.perf_counter() - started_s
    sample.latencies_s.sort()
    return sample


async def open_loop(
    url: str, texts: Sequence[str], *, requests_per_s: float, duration_s: float, max_connections: int = 256
) -> Sample:
    """Send a text at each due time, over as many connections as it takes up to a bound."""
    sample, queue = Sample(), itertools.cycle(texts)
    async with _session(max_connections) as session:
        started_s = time.perf_counter()
        tasks = []
        for index in range(int(requests_per_s * duration_s)):
            due_s = started_s + index / requests_per_s
            # Never sleep past what is due already: then several are sent at once.
            if (early_s := due_s - time.perf_counter()) > 0:
                await asyncio.sleep(early_s)
            tasks.append(asyncio.create_task(_send(session, url, next(queue), due_s, sample)))
        await asyncio.gather(*tasks)
        sample.duration_s = time.perf_counter() - started_s
    sample.latencies_s.sort()
    return sample


def _session(num_connections: int) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=num_connections), timeout=aiohttp.ClientTimeout(total=120)
    )


async def _send(session: aiohttp.ClientSession, url: str, text: str, due_s: float, sample: Sample) -> None:
    body = {"text": text, "source_lang": "eng_Latn", "target_lang": "spa_Latn"}
    try:
        async with session.post(url, json=body) as response:
            await response.read()
            status = response.status
    except (aiohttp.ClientError, TimeoutError):
        status = 0
    if status == 200:
        sample.latencies_s.append(time.perf_counter() - due_s)
        sample.num_characters += len(text)
    elif status in {429, 503}:
        sample.num_refused += 1
    else:
        sample.num_failed += 1
