"""Target tokens per second of the engine against `transformers` and CTranslate2, same work, same threads.

    python -m benchmarks.decode [--quick] [--json] [--threads 2] [--systems ours-int8,ctranslate2-int8]

The systems take turns within every repeat and medians are reported, because a shared machine changes its speed from
minute to minute: read the ratios. Needs the `benchmark` extra (CTranslate2) and about 3 GB for the checkpoint it makes.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
from importlib.metadata import version

from benchmarks.synthetic import sources, synthetic_checkpoint
from benchmarks.workers import SYSTEMS, Worker

OURS = "ours-int8"
PEERS = {"ct2": ("ctranslate2-int8", "ctranslate2-int8_float32"), "transformers_bf16": ("transformers-bfloat16",)}
CASES = ((1, 1), (8, 1), (32, 1), (1, 4), (8, 4))  # sources, beams
QUICK_SYSTEMS = (OURS, "ctranslate2-int8")

Speeds = dict[tuple[int, int], dict[str, float]]


def main() -> None:
    """Measure, print the table, and with `--json` the ratios as one last line."""
    options = _parse()
    synthetic_checkpoint()
    print(
        f"{platform.processor() or platform.machine()}, {options.threads} threads;",
        ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "ctranslate2")),
    )
    workers = [Worker(system, options.threads) for system in options.systems]
    speeds = _measure(workers, repeats=2 if options.quick else 7, num_tokens=16 if options.quick else 32)
    memory_bytes = {worker.system: worker.memory_bytes() for worker in workers}
    load_s = {worker.system: worker.load_s for worker in workers}
    for worker in workers:
        worker.close()
    _print_table(options.systems, speeds)
    for system in options.systems:
        resident, peak = memory_bytes[system]
        print(f"{system}: ready in {load_s[system]:.1f} s, {resident / 1e9:.2f} GB resident, {peak / 1e9:.2f} GB peak")
    if options.json:
        resident_gb = {f"{system}_resident_gb": resident / 1e9 for system, (resident, _) in memory_bytes.items()}
        print(json.dumps({key: round(value, 3) for key, value in (_ratios(speeds) | resident_gb).items()}))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two systems, short outputs, two repeats")
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object, claim to ratio")
    parser.add_argument("--threads", type=int, default=2, help="of each system")
    parser.add_argument("--systems", help=f"comma-separated, of: {', '.join(SYSTEMS)}")
    options = parser.parse_args()
    default = QUICK_SYSTEMS if options.quick else (OURS, *(system for peers in PEERS.values() for system in peers))
    options.systems = options.systems.split(",") if options.systems else list(default)
    unknown = set(options.systems) - set(SYSTEMS)
    if unknown:
        parser.error(f"no such system: {', '.join(sorted(unknown))}; accepted: {', '.join(SYSTEMS)}")
    return options


def _measure(workers: list[Worker], *, repeats: int, num_tokens: int) -> Speeds:
    speeds: Speeds = {}
    for num_sources, num_beams in CASES:
        work = sources(num_sources, seed=num_sources)
        for worker in workers:
            worker.tokens_per_s(work, num_beams, 2)  # the first use of a size allocates and tunes
        runs: dict[str, list[float]] = {worker.system: [] for worker in workers}
        for _ in range(repeats):
            for worker in workers:
                runs[worker.system].append(worker.tokens_per_s(work, num_beams, num_tokens))
        speeds[num_sources, num_beams] = {system: statistics.median(each) for system, each in runs.items()}
    return speeds


def _print_table(systems: list[str], speeds: Speeds) -> None:
    print("| tokens/s |", " | ".join(_name(*case).replace("_", " ") for case in speeds), "|")
    print("|---" * (len(speeds) + 1) + "|")
    for system in systems:
        print(f"| {system} |", " | ".join(f"{speed[system]:.1f}" for speed in speeds.values()), "|")


def _ratios(speeds: Speeds) -> dict[str, float]:
    """Return ours over the best of each peer's settings, where both were measured."""
    ratios = {}
    for case, speed in speeds.items():
        for peer, settings in PEERS.items():
            measured = [speed[system] for system in settings if system in speed]
            if OURS in speed and measured:
                ratios[f"{_name(*case)}_vs_{peer}"] = speed[OURS] / max(measured)
    return ratios


def _name(num_sources: int, num_beams: int) -> str:
    return f"{'greedy' if num_beams == 1 else f'beam{num_beams}'}_b{num_sources}"


if __name__ == "__main__":
    main()
