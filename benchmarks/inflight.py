"""Latency under steady arrivals, and throughput of a backlog: in-flight against static batches and CTranslate2.

    python -m benchmarks.inflight [--quick] [--json] [--device cpu] [--threads 2] [--requests 120] [--plot]

Requests of sources of 8 to 64 tokens ask for 5 to 80 output tokens each. They are all there at once (backlog), or
arrive by chance (Poisson) at 40 % and 80 % of what our engine sustains on the backlog. Each system has its own process:

- ours, in-flight: rows join and leave the running batch at every step;
- ours, static: one batch with all threads, decoded to its end before the next one is let in;
- CTranslate2: its own batching, as a server would use it: what waits when it is free goes in as one batch; inside, it
  drops rows that are done, and it answers when the batch is done.

Needs the `benchmark` extra and 4 GB of memory.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
from dataclasses import dataclass

from benchmarks.machine import describe_machine
from benchmarks.plot import plot_bars
from benchmarks.queues import LIMIT_ROWS, Arrival, QueueWorker
from benchmarks.synthetic import SHAPE, converted_checkpoint, sources, synthetic_checkpoint

INFLIGHT, STATIC, CT2 = "ours, in-flight", "ours, static", "CTranslate2"
SHORTEST, LONGEST = 5, 80  # tokens of an output
LOADS = (0.4, 0.8)  # of our capacity
TARGETS = {"p95_at_40_vs_ct2": 0.3, "p95_at_80_vs_ct2": 0.6}


@dataclass(frozen=True, slots=True)
class Result:
    """What one system made of one arrival pattern."""

    tokens_per_s: float
    mean_s: float
    p95_s: float


def main() -> None:
    """Measure, print the table, and with `--json` the claims as one last line."""
    options = _parse()
    synthetic_checkpoint(), converted_checkpoint()
    print(describe_machine(options.threads, "torch", "ctranslate2"), flush=True)
    print(f"{options.requests} requests, outputs of {SHORTEST} to {LONGEST} tokens, at most {LIMIT_ROWS} rows together")
    results: dict[str, dict[str, Result]] = {}
    workers = {
        INFLIGHT: QueueWorker("inflight", options.threads),
        STATIC: QueueWorker("static", options.threads),
        CT2: QueueWorker("ctranslate2", options.threads),
    }
    try:
        for worker in workers.values():
            worker.wait()
        for worker in workers.values():
            # The first batches allocate and tune, and on a GPU each new size is recorded.
            worker.run(_arrivals(4 if options.device == "cpu" else options.requests, None))
        results["backlog"] = _measure(workers, _arrivals(options.requests, None), options.requests)
        capacity = results["backlog"][INFLIGHT].tokens_per_s / ((SHORTEST + LONGEST) / 2)
        for load in LOADS:
            name = f"{load:.0%} of capacity"
            print(f"{name}: {load * capacity:.2f} requests/s", flush=True)
            results[name] = _measure(workers, _arrivals(options.requests, load * capacity), options.requests)
    finally:
        for worker in workers.values():
            worker.close()
    claims = _claims(results)
    for claim, value in claims.items():
        target = f", target at most {TARGETS[claim]}" if claim in TARGETS else ""
        print(f"{claim}: {value:.2f}{target}")
    if options.plot:
        print("plotted", _plot("inflight" if options.device == "cpu" else f"inflight-{options.device}", results))
    if options.json:
        print(json.dumps({claim: round(value, 3) for claim, value in claims.items()}))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="24 requests instead of 120")
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object, claim to ratio")
    parser.add_argument("--plot", action="store_true", help="write docs/benchmarks/inflight.svg")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="int8 on a CPU, float16 on a GPU")
    parser.add_argument("--threads", type=int, default=2, help="of each system")
    parser.add_argument("--requests", type=int, help="of each arrival pattern")
    options = parser.parse_args()
    os.environ["BENCHMARK_DEVICE"] = options.device
    options.requests = options.requests or (24 if options.quick else 120)
    return options


def _arrivals(count: int, per_s: float | None) -> list[Arrival]:
    """Draw requests, all at once or by chance at a mean rate; the same for every system."""
    draw = random.Random(0)
    at_s, arrivals = 0.0, []
    for source in sources(count, seed=0):
        at_s += draw.expovariate(per_s) if per_s is not None else 0.0
        arrivals.append(Arrival(at_s, source, draw.randint(SHORTEST, LONGEST)))
    return arrivals


def _measure(workers: dict[str, QueueWorker], arrivals: list[Arrival], count: int) -> dict[str, Result]:
    results = {}
    for system, worker in workers.items():
        done_s = worker.run(arrivals)
        latencies = sorted(done - arrival.at_s for done, arrival in zip(done_s, arrivals, strict=True))
        tokens = sum(arrival.num_tokens for arrival in arrivals)
        result = Result(tokens / max(done_s), statistics.mean(latencies), latencies[int(0.95 * (count - 1))])
        print(
            f"  {system}: {result.tokens_per_s:.0f} tokens/s, mean {result.mean_s:.3f} s, p95 {result.p95_s:.3f} s",
            flush=True,
        )
        results[system] = result
    return results


def _claims(results: dict[str, dict[str, Result]]) -> dict[str, float]:
    claims = {}
    for pattern, by_system in results.items():
        ours = by_system[INFLIGHT]
        name = "backlog" if pattern == "backlog" else f"at_{pattern.partition('%')[0]}"
        for peer, other in (("ct2", by_system[CT2]), ("static", by_system[STATIC])):
            if pattern == "backlog":
                claims[f"backlog_tokens_vs_{peer}"] = ours.tokens_per_s / other.tokens_per_s
            claims[f"p95_{name}_vs_{peer}"] = ours.p95_s / other.p95_s
            claims[f"mean_{name}_vs_{peer}"] = ours.mean_s / other.mean_s
    return claims


def _plot(name: str, results: dict[str, dict[str, Result]]) -> object:
    groups = [f"{pattern}\n{kind}" for pattern in list(results)[1:] for kind in ("mean", "p95")]
    series = {
        system: [
            value
            for pattern in list(results)[1:]
            for value in (results[pattern][system].mean_s, results[pattern][system].p95_s)
        ]
        for system in (INFLIGHT, STATIC, CT2)
    }
    return plot_bars(name, f"Latency, {SHAPE} shape, outputs of 5 to 80 tokens", "s", groups, series)


if __name__ == "__main__":
    main()
