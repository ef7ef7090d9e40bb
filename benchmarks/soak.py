"""Mixed load for a long time: does any process of the service grow?

    python -m benchmarks.soak [--minutes 30] [--quick] [--json] [--model models/demo]

Memory of every process is sampled once in ten seconds; the slope is fitted (least squares) over the second half, when
caches and allocators have filled. A cache of a fixed size is configured, so that it is full long before.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import psutil

from benchmarks.load import free_port, texts, wait_until_it_answers
from benchmarks.load_client import Sample, open_loop

_ROUND_S = 10.0
Samples = dict[str, list[tuple[float, float]]]


def main() -> None:
    """Run, print a line per process, and with `--json` the steepest slope as one last line."""
    options = _parse()
    port = free_port()
    environment = os.environ | {
        "PORT": str(port),
        "NLLB__MODEL__NAME": str(options.model.resolve()),
        "NLLB__CACHE__MEMORY__MAX_SIZE": "2000",
        "NLLB__LOGGING__LEVEL": "WARNING",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "deployments.local"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{port}/api/v1/translate"
    try:
        wait_until_it_answers(process, url)
        memory, total = asyncio.run(_run(url, process.pid, options.minutes * 60, options.requests_per_s))
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=90)
    slopes = _print_table(memory)
    print(f"{len(total.latencies_s)} translations, {total.num_refused} refused, {total.num_failed} failed")
    if options.json:
        claims = {"steepest_mib_per_hour": max(slopes.values()), "failed": total.num_failed}
        print(json.dumps({claim: round(value, 3) for claim, value in claims.items()}))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--quick", action="store_true", help="two minutes: shows that it runs, not that nothing grows")
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    parser.add_argument("--model", type=Path, default=Path("models/demo"), help="folder of the checkpoint")
    parser.add_argument("--requests-per-s", type=float, default=20.0)
    options = parser.parse_args()
    options.minutes = 2.0 if options.quick else options.minutes
    return options


async def _run(url: str, root_pid: int, duration_s: float, requests_per_s: float) -> tuple[Samples, Sample]:
    memory: Samples = defaultdict(list)
    total = Sample()
    started_s = time.monotonic()
    while time.monotonic() - started_s < duration_s:
        part = await open_loop(url, texts("mixed"), requests_per_s=requests_per_s, duration_s=_ROUND_S)
        total.latencies_s += part.latencies_s
        total.num_refused += part.num_refused
        total.num_failed += part.num_failed
        for name, resident_bytes in _resident(root_pid).items():
            memory[name].append((time.monotonic() - started_s, resident_bytes))
    return memory, total


def _resident(root_pid: int) -> dict[str, float]:
    """Memory of the process and its descendants; a worker of Ray names itself after what it runs."""
    root = psutil.Process(root_pid)
    found = {}
    for process in [root, *root.children(recursive=True)]:
        try:
            title = " ".join(process.cmdline())[:48] or process.name()
            found[f"{title} ({process.pid})"] = float(process.memory_info().rss)
        except psutil.NoSuchProcess:
            continue
    return found


def _print_table(memory: Samples) -> dict[str, float]:
    slopes = {}
    print(f"{'':62}{'MiB at end':>12}{'MiB/hour':>10}")
    for name, samples in sorted(memory.items()):
        half = samples[len(samples) // 2 :]
        if len(half) < 3:
            continue
        seconds, sizes = np.array(half).T
        slopes[name] = float(np.polyfit(seconds, sizes, 1)[0]) * 3600 / 2**20
        print(f"{name:62}{sizes[-1] / 2**20:12.1f}{slopes[name]:10.1f}")
    return slopes


if __name__ == "__main__":
    main()
