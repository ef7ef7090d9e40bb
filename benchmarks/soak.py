"""Mixed load for a long time: does any process of the service grow?

    python -m benchmarks.soak [--minutes 30] [--quick] [--json] [--model demo] [--requests-per-s 10]

Requests of every kind come at a fixed rate: texts of all lengths, some of them again and again, batches, streams,
detections, pages of metrics, mistakes, and clients that hang up. Every process' own memory is sampled once in ten
seconds; its slope is fitted (least squares) over the second half, when caches and allocators have filled. The cache
holds so few entries that it is full long before.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

import aiohttp
import numpy as np
import psutil

from benchmarks.load_systems import production_path, running_service
from benchmarks.load_work import Job, model

_API = "/api/v1"
_ROUND_S = 10.0
_HANG_UP_S = 0.02
_NUM_REPEATED = 20
_MEBIBYTE = 2**20


class Call(NamedTuple):
    """One request; `hangs_up`: the client does not wait for the answer."""

    method: str
    path: str
    body: dict[str, Any] | None = None
    hangs_up: bool = False


Sizes = dict[int, list[tuple[float, float]]]
"""Seconds since the start and bytes, by process id."""


def main() -> None:
    """Run, print a line per process, and with `--json` the steepest slope as one last line."""
    options = _parse()
    weights = model(options.model)
    with running_service(weights, production_path(), {"cache.memory.max_size": 2000}) as (url, pid):
        origin = url.removesuffix(f"{_API}/translate")
        sizes, titles, answers = asyncio.run(
            _run(origin, pid, weights.jobs("mixed"), options.minutes * 60, options.requests_per_s)
        )
    slopes = _print_table(sizes, titles)
    print("answers by status (0: nothing came, -1: hung up): " + json.dumps(dict(sorted(answers.items()))))
    if options.json:
        failed = answers[0] + sum(count for status, count in answers.items() if status >= 500 and status != 503)
        claims = {"steepest_mib_per_hour": max(slopes.values()), "failed": failed}
        print(json.dumps({claim: round(value, 3) for claim, value in claims.items()}))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--quick", action="store_true", help="two minutes: shows that it runs, not that nothing grows")
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    parser.add_argument("--model", choices=("demo", "600M"), default="demo", help="which weights")
    parser.add_argument("--requests-per-s", type=float, default=10.0)
    options = parser.parse_args()
    options.minutes = 2.0 if options.quick else options.minutes
    return options


async def _run(
    origin: str, root_pid: int, jobs: list[Job], duration_s: float, requests_per_s: float
) -> tuple[Sizes, dict[int, str], Counter[int]]:
    sizes: Sizes = defaultdict(list)
    titles: dict[int, str] = {}
    answers: Counter[int] = Counter()
    calls = _mixed(jobs)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=60)) as session:
        started_s = time.monotonic()
        next_sample_s = started_s + _ROUND_S
        async with asyncio.TaskGroup() as group:
            for index in range(int(duration_s * requests_per_s)):
                if (early_s := started_s + index / requests_per_s - time.monotonic()) > 0:
                    await asyncio.sleep(early_s)
                group.create_task(_send(session, origin, next(calls), answers))
                if time.monotonic() >= next_sample_s:
                    next_sample_s += _ROUND_S
                    for pid, title, own_bytes in _own_memory(root_pid):
                        titles[pid] = title
                        sizes[pid].append((time.monotonic() - started_s, own_bytes))
    return sizes, titles, answers


def _mixed(jobs: list[Job]) -> Iterator[Call]:
    draw = random.Random(0)
    queue = itertools.cycle(jobs)
    while True:
        job = draw.choice(jobs[:_NUM_REPEATED]) if draw.random() < 0.3 else next(queue)
        kind = draw.choices(
            ("translate", "batch", "stream", "detect", "hang up", "mistake", "page"), (60, 8, 8, 8, 6, 6, 4)
        )
        match kind[0]:
            case "translate":
                yield Call("POST", f"{_API}/translate", job.body())
            case "batch":
                yield Call("POST", f"{_API}/batch-translate", {"items": [next(queue).body() for _ in range(4)]})
            case "stream":
                yield Call("POST", f"{_API}/translate/stream", job.body())
            case "detect":
                yield Call("POST", f"{_API}/detect", {"text": job.text})
            case "hang up":
                yield Call("POST", f"{_API}/translate", next(queue).body(), hangs_up=True)
            case "mistake":
                yield Call("POST", f"{_API}/translate", job.body() | {"target_lang": draw.choice(("xx", "", "eng"))})
            case "page":
                yield Call("GET", draw.choice(("/metrics", f"{_API}/health", f"{_API}/cache/stats")))


async def _send(session: aiohttp.ClientSession, origin: str, call: Call, answers: Counter[int]) -> None:
    timeout = aiohttp.ClientTimeout(total=_HANG_UP_S if call.hangs_up else 60)
    try:
        async with session.request(call.method, origin + call.path, json=call.body, timeout=timeout) as response:
            await response.read()
            answers[response.status] += 1
    except (aiohttp.ClientError, TimeoutError):
        answers[-1 if call.hangs_up else 0] += 1


def _own_memory(root_pid: int) -> Iterator[tuple[int, str, float]]:
    """Yield id, title and memory that is not shared, of the process and its descendants."""
    root = psutil.Process(root_pid)
    for process in [root, *root.children(recursive=True)]:
        try:
            title = " ".join(process.cmdline()) or process.name()
            memory = process.memory_info()
        except psutil.NoSuchProcess:
            continue
        yield process.pid, title, float(memory.rss - memory.shared)


def _print_table(sizes: Sizes, titles: dict[int, str]) -> dict[int, float]:
    slopes = {}
    print(f"{'':62}{'MiB at end':>12}{'MiB/hour':>10}")
    for pid, samples in sorted(sizes.items(), key=lambda item: titles[item[0]]):
        half = samples[len(samples) // 2 :]
        if len(half) < 3:
            continue  # a worker that came and went
        seconds, own_bytes = np.array(half).T
        slopes[pid] = float(np.polyfit(seconds, own_bytes, 1)[0]) * 3600 / _MEBIBYTE
        print(f"{titles[pid][:60]:62}{own_bytes[-1] / _MEBIBYTE:12.1f}{slopes[pid]:10.1f}")
    return slopes


if __name__ == "__main__":
    main()
