"""The whole service over HTTP: throughput and latency, cold and cached, against what it is made of and its peers.

    python -m benchmarks.load [--quick] [--json] [--model models/demo] [--systems ours,engine,echo]

Peers run the same weights one after the other on the same machine, each alone with the load generator, which needs a
share of the cores too: read the ratios. Needs the `benchmark` extra (CTranslate2).
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import platform
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from benchmarks.load_client import Sample, closed_loop, open_loop
from train.demo.corpus import build_corpus
from train.demo.settings import DemoSettings

SYSTEMS = ("ours", "engine", "echo", "ctranslate2", "transformers")
DEADLINE_S = 5.0
_START_LIMIT_S = 300.0
_OVERLOAD = 5
_SEEDS = itertools.count()


def main() -> None:
    """Measure, print, and with `--json` the claims as one last line."""
    options = _parse()
    machine = platform.processor() or platform.machine()
    print(f"{machine}, {os.cpu_count()} cores; {options.model}; {options.seconds} s for each figure")
    results: dict[str, Sample] = {}
    if "engine" in options.systems:
        results["engine, 32 rows, mixed"] = _engine(options.model, texts("mixed"), options.seconds)
    for system in (each for each in SYSTEMS if each in options.systems and each != "engine"):
        with _running(system, options.model) as url:
            results |= asyncio.run(_measure(system, url, options))
    _print_table(results)
    if options.json:
        print(json.dumps({claim: round(value, 3) for claim, value in _claims(results).items()}))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two seconds for each figure, fewer numbers of clients")
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object, claim to ratio")
    parser.add_argument("--model", type=Path, default=Path("models/demo"), help="folder of the checkpoint")
    parser.add_argument("--systems", default=",".join(SYSTEMS), help="comma-separated")
    options = parser.parse_args()
    options.systems = options.systems.split(",")
    if unknown := set(options.systems) - set(SYSTEMS):
        parser.error(f"no such system: {', '.join(sorted(unknown))}; accepted: {', '.join(SYSTEMS)}")
    options.seconds = 2.0 if options.quick else 8.0
    options.clients = (1, 32) if options.quick else (1, 8, 32, 128, 256)
    return options


async def _measure(system: str, url: str, options: argparse.Namespace) -> dict[str, Sample]:
    seconds = options.seconds
    results: dict[str, Sample] = {}
    if system == "echo":
        for num_clients in (1, 32):
            results[f"echo, {num_clients} clients"] = await closed_loop(
                url, ["Good morning."], num_clients=num_clients, duration_s=seconds
            )
        return results
    await closed_loop(url, texts("mixed"), num_clients=8, duration_s=2)  # what is first used is slow
    if system != "ours":
        name = f"{system}, 32 clients, mixed"
        return {name: await closed_loop(url, texts("mixed"), num_clients=32, duration_s=seconds)}
    for kind in ("short", "long"):
        results[f"ours, 32 clients, {kind}"] = await closed_loop(url, texts(kind), num_clients=32, duration_s=seconds)
    for num_clients in options.clients:
        results[f"ours, {num_clients} clients, mixed"] = await closed_loop(
            url, texts("mixed"), num_clients=num_clients, duration_s=seconds
        )
    cached = ["Where is the pharmacy?"]
    await closed_loop(url, cached, num_clients=1, duration_s=1)
    for num_clients in (1, 32):
        results[f"ours, {num_clients} clients, cached"] = await closed_loop(
            url, cached, num_clients=num_clients, duration_s=seconds
        )
    capacity = results["ours, 32 clients, mixed"].requests_per_s
    for share in (0.5, 0.8, _OVERLOAD):
        results[f"ours, open loop at {share:g} of capacity"] = await open_loop(
            url, texts("mixed"), requests_per_s=share * capacity, duration_s=seconds * (2 if share > 1 else 1)
        )
    return results


def texts(kind: str) -> list[str]:
    """Return texts of sentences that the demo model knows, in an order of their own at each call.

    A sentence it does not know is decoded twice, with a warning; peers do not look.
    """
    draw = random.Random(next(_SEEDS))
    sentences = _sentences()
    lengths = {"short": [1], "long": [20], "mixed": [1, 1, 1, 2, 2, 4, 8, 20]}[kind]
    return [" ".join(draw.choice(sentences) for _ in range(draw.choice(lengths))) for _ in range(5_000)]


@cache
def _sentences() -> list[str]:
    corpus = build_corpus(DemoSettings())
    return [row["eng_Latn"] for row in (*corpus.train, *corpus.held_out)]


def _engine(model: Path, texts: list[str], seconds: float) -> Sample:
    """The bare engine in this process: the same texts, as many requests at a time as there are rows."""
    from pipelines import load_translator

    sample, queue = Sample(), itertools.cycle(texts)
    with load_translator(str(model)) as translator:

        async def run() -> None:
            started_s = time.perf_counter()

            async def client() -> None:
                while time.perf_counter() - started_s < seconds:
                    text, began_s = next(queue), time.perf_counter()
                    await translator.atranslate(text, source_lang="eng_Latn", target_lang="spa_Latn")
                    sample.latencies_s.append(time.perf_counter() - began_s)
                    sample.num_characters += len(text)

            await asyncio.gather(*(client() for _ in range(32)))
            sample.duration_s = time.perf_counter() - started_s

        asyncio.run(run())
    sample.latencies_s.sort()
    return sample


@contextmanager
def _running(system: str, model: Path) -> Iterator[str]:
    port = free_port()
    environment = os.environ | _production_path()
    if system == "ours":
        command, path = ["-m", "deployments.local"], "/api/v1/translate"
        environment |= {
            "PORT": str(port),
            "NLLB__MODEL__NAME": str(model.resolve()),
            "NLLB__LOGGING__LEVEL": "WARNING",
            # One entry: every request but the cached ones goes all the way, and the cache is on the way.
            "NLLB__CACHE__MEMORY__MAX_SIZE": "1",
            "NLLB__LIMITS__REQUEST_TIMEOUT_S": str(DEADLINE_S),
            "NLLB__LIMITS__MAX_ONGOING_REQUESTS": "2000",
        }
    else:
        command, path = ["-m", "benchmarks.load_servers", system, str(port), str(model.resolve())], "/translate"
    url = f"http://127.0.0.1:{port}{path}"
    process = subprocess.Popen(
        [sys.executable, *command],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_until_it_answers(process, url)
        yield url
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _production_path() -> dict[str, str]:
    """HAProxy in front where there is a wheel of it, with files and ports of this run."""
    folder = tempfile.mkdtemp(prefix="haproxy-")
    ports = {f"RAY_SERVE_HAPROXY_{name}_PORT": str(free_port()) for name in ("STATS", "METRICS")}
    return {
        "RAY_SERVE_ENABLE_HA_PROXY": "1" if sys.platform == "linux" else "0",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": f"{folder}/haproxy.cfg",
        "RAY_SERVE_HAPROXY_SOCKET_PATH": f"{folder}/admin.sock",
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": folder,
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": f"{folder}/server-state",
        **ports,
    }


def wait_until_it_answers(process: subprocess.Popen[bytes], url: str) -> None:
    """Return when a translation comes back.

    Raises:
        RuntimeError: The process ended, or it takes too long.
    """
    body = json.dumps({"text": "Hello.", "source_lang": "eng_Latn", "target_lang": "spa_Latn"}).encode()
    give_up_s = time.monotonic() + _START_LIMIT_S
    while True:
        request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=30):
                return
        except (urllib.error.URLError, OSError):
            if process.poll() is not None or time.monotonic() > give_up_s:
                raise RuntimeError(f"{url} does not answer") from None
            time.sleep(0.5)


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _print_table(results: dict[str, Sample]) -> None:
    print(f"{'':42}{'req/s':>9}{'char/s':>9}{'p50 ms':>9}{'p95 ms':>9}{'p99 ms':>9}{'refused':>9}{'failed':>8}")
    for name, each in results.items():
        percentiles = "".join(f"{each.percentile_ms(percent):9.1f}" for percent in (50, 95, 99))
        print(
            f"{name:42}{each.requests_per_s:9.1f}{each.characters_per_s:9.0f}{percentiles}"
            f"{each.num_refused:9}{each.num_failed:8}"
        )


def _claims(results: dict[str, Sample]) -> dict[str, float]:
    claims: dict[str, float] = {}
    ours = results.get("ours, 32 clients, mixed")
    if ours is None:
        return claims
    peers = {"engine, 32 rows, mixed": "service_vs_engine", "ctranslate2, 32 clients, mixed": "service_vs_ct2_server"}
    peers["transformers, 32 clients, mixed"] = "service_vs_transformers_server"
    for name, claim in peers.items():
        if name in results:
            claims[claim] = ours.characters_per_s / results[name].characters_per_s
    if "echo, 1 clients" in results:
        cached, echo = results["ours, 1 clients, cached"], results["echo, 1 clients"]
        claims["cached_p50_vs_echo"] = cached.percentile_ms(50) / echo.percentile_ms(50)
    peak = max(each.characters_per_s for name, each in results.items() if name.endswith("clients, mixed"))
    overload = results[f"ours, open loop at {_OVERLOAD} of capacity"]
    claims["overload_goodput_vs_peak"] = overload.characters_per_s / peak
    claims["overload_p99_vs_deadline"] = overload.percentile_ms(99) / (DEADLINE_S * 1000)
    return claims


if __name__ == "__main__":
    main()
