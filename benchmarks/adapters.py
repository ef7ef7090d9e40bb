"""Target tokens per second with many adapters in one batch of 32 rows: against the base alone, and against peft.

    python -m benchmarks.adapters [--quick] [--json] [--plot] [--device cpu] [--threads 2] [--systems ours-int8,...]

Adapters have rank 16 on all attention projections; a batch's rows take them in turn. peft's way to mix adapters is
`generate(adapter_names=...)`. The systems and cases take turns within every repeat and medians are reported: read the
ratios. Needs the `train` extra (peft) and about 3 GB for the checkpoint and the adapters that it makes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics

from benchmarks.adapter_workers import NUM_ADAPTERS, SYSTEMS
from benchmarks.machine import describe_machine
from benchmarks.synthetic import SHAPE, sources, synthetic_adapters
from benchmarks.workers import Worker

NUM_ROWS = 32
CASES = {"base only": 0, "1 adapter": 1, "4 adapters": 4, "16 adapters": NUM_ADAPTERS}
DEFAULT_SYSTEMS = {
    "cpu": ("ours-int8", "ours-float32", "peft-bfloat16", "peft-float32"),
    "cuda": ("ours-float16", "ours-bfloat16", "peft-float16", "peft-bfloat16"),
}
"""By device; ours whose ratios are told comes first."""
TARGET = 0.85  # of base only, with four adapters

Speeds = dict[str, dict[str, float]]
"""Tokens per second by system and case."""


def main() -> None:
    """Measure, print the table, and with `--json` the ratios as one last line."""
    options = _parse()
    ours = DEFAULT_SYSTEMS[options.device][0]
    synthetic_adapters(NUM_ADAPTERS)
    print(describe_machine(options.threads, "torch", "transformers", "peft"))
    workers = [Worker(system, options.threads, module="benchmarks.adapter_workers") for system in options.systems]
    for worker in workers:
        worker.wait()
    speeds = _measure(workers, repeats=3 if options.quick else 5, num_tokens=16 if options.quick else 32)
    for worker in workers:
        worker.close()
    _print_table(speeds)
    if options.plot:
        print(_plot("adapters" if options.device == "cpu" else f"adapters-{options.device}", ours, speeds))
    if options.json:
        print(json.dumps({claim: round(ratio, 3) for claim, ratio in _ratios(ours, speeds).items()}))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="our default system alone, short outputs, three repeats")
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object, claim to ratio")
    parser.add_argument("--plot", action="store_true", help="draw the table into docs/benchmarks/adapters.svg")
    parser.add_argument("--device", choices=DEFAULT_SYSTEMS, default="cpu", help="that the systems run on")
    parser.add_argument("--threads", type=int, default=2, help="of each system")
    parser.add_argument("--systems", help=f"comma-separated, of: {', '.join(SYSTEMS)}")
    options = parser.parse_args()
    os.environ["BENCHMARK_DEVICE"] = options.device
    default = DEFAULT_SYSTEMS[options.device][: 1 if options.quick else None]
    options.systems = options.systems.split(",") if options.systems else list(default)
    unknown = set(options.systems) - set(SYSTEMS)
    if unknown:
        parser.error(f"no such system: {', '.join(sorted(unknown))}; accepted: {', '.join(SYSTEMS)}")
    return options


def _measure(workers: list[Worker], *, repeats: int, num_tokens: int) -> Speeds:
    work = sources(NUM_ROWS, seed=NUM_ROWS)
    chosen = {case: _in_turn(num_adapters) for case, num_adapters in CASES.items()}
    runs: dict[tuple[str, str], list[float]] = {}
    for worker in workers:
        worker.tokens_per_s(work, 1, 2, adapters=chosen["16 adapters"])  # the first use of a size allocates and tunes
    for _ in range(repeats):
        for worker in workers:
            for case, adapters in chosen.items():
                speed = worker.tokens_per_s(work, 1, num_tokens, adapters=adapters)
                runs.setdefault((worker.system, case), []).append(speed)
    return {worker.system: {case: statistics.median(runs[worker.system, case]) for case in CASES} for worker in workers}


def _in_turn(num_adapters: int) -> list[int | None]:
    return [row % num_adapters if num_adapters else None for row in range(NUM_ROWS)]


def _print_table(speeds: Speeds) -> None:
    print("| tokens/s |", " | ".join(CASES), "| 4 adapters / base |")
    print("|---" * (len(CASES) + 2) + "|")
    for system, speed in speeds.items():
        cells = [f"{speed[case]:.1f}" for case in CASES]
        print(f"| {system} |", " | ".join(cells), f"| {speed['4 adapters'] / speed['base only']:.2f} |")


def _ratios(ours: str, speeds: Speeds) -> dict[str, float]:
    """Return each system's mixed batches over its base alone, and ours over peft's best with the same adapters."""
    ratios = {}
    peers = [speed for system, speed in speeds.items() if system.startswith("peft")]
    for system, speed in speeds.items():
        prefix = "" if system == ours else f"{system.replace('-', '_')}_"
        for case, num_adapters in CASES.items():
            if num_adapters:
                ratios[f"{prefix}mixed{num_adapters}_b{NUM_ROWS}_vs_base"] = speed[case] / speed["base only"]
    for case, num_adapters in CASES.items():
        if num_adapters and peers and ours in speeds:
            best = max(peer[case] for peer in peers)
            ratios[f"mixed{num_adapters}_b{NUM_ROWS}_vs_peft"] = speeds[ours][case] / best
    return ratios


def _plot(name: str, ours: str, speeds: Speeds) -> str:
    from benchmarks.plot import plot_bars

    base = speeds.get(ours, {}).get("base only")
    targets = [TARGET * base if base and case == "4 adapters" else None for case in CASES]
    title = f"Adapters in a batch of {NUM_ROWS}, {SHAPE} shape"
    series = {system: list(speed.values()) for system, speed in speeds.items()}
    return str(plot_bars(name, title, "target tokens/s", list(CASES), series, targets=targets))


if __name__ == "__main__":
    main()
