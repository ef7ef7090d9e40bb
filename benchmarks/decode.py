"""Target tokens per second of the engine against `transformers` and CTranslate2: same work, same threads.

    python -m benchmarks.decode [--quick] [--json] [--threads 2] [--minutes 6] [--systems ours-int8,...] [--plot]
    python -m benchmarks.decode --device cuda [--minutes 2] ...

First CTranslate2's formats, kernels and workers compete; the best two stay, and the best for 32 sources. Then the
systems take turns within every repeat until the time is up, and medians are reported: a shared machine changes its
speed from minute to minute, so read the ratios. `transformers`' slow formats are measured once. Load time and memory
come first, in fresh processes. On a GPU the formats are 16-bit ones, batches go up to 128, and memory is not compared.
Needs the `benchmark` extra, 3 GB of disk for the checkpoint it makes, and 12 GB of memory (`--quick`: 5).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.machine import describe_machine
from benchmarks.plot import plot_bars
from benchmarks.synthetic import SHAPE, converted_checkpoint, sources, synthetic_checkpoint
from benchmarks.workers import CTRANSLATE2_SWITCHES, SYSTEMS, Worker

Case = tuple[int, int]  # sources, beams
Speeds = dict[Case, dict[str, float]]


@dataclass(frozen=True, slots=True)
class Contest:
    """Which systems meet on a device, and at what.

    Attributes:
        ours: Our engine.
        script: Ours with the output restricted to a script.
        transformers: In the format that it is fastest in.
        others: That take part as well, often.
        slow: That are measured once.
        ct2: CTranslate2's formats.
        cases: That are measured, unless `cases_of` names others for a system.
    """

    ours: str
    script: str
    transformers: str
    others: tuple[str, ...]
    slow: tuple[str, ...]
    ct2: tuple[str, ...]
    cases: tuple[Case, ...]

    def cases_of(self, system: str) -> tuple[Case, ...]:
        """Return the cases that a system takes part in."""
        if system == self.script:
            return tuple(case for case in self.cases if case[1] == 1)
        return ((1, 1), (8, 1), (1, 4)) if system == "transformers-float32" else self.cases


CASES: tuple[Case, ...] = ((1, 1), (8, 1), (32, 1), (1, 4), (8, 4))
CONTESTS = {
    "cpu": Contest(
        ours="ours-int8",
        script="ours-int8-script",
        transformers="transformers-bfloat16",
        others=(),
        slow=("transformers-float32", "transformers-int8"),
        ct2=("ctranslate2-int8", "ctranslate2-int8_float32"),
        cases=CASES,
    ),
    "cuda": Contest(
        ours="ours-float16",
        script="ours-float16-script",
        transformers="transformers-float16",
        others=("ours-bfloat16",),
        slow=(),
        ct2=("ctranslate2-float16", "ctranslate2-bfloat16", "ctranslate2-int8_float16"),
        cases=(*CASES[:3], (128, 1), *CASES[3:], (32, 4)),
    ),
}
NUM_TOKENS = 32
NUM_PROBE_TOKENS = 8
TARGETS: dict[str, float] = {
    "greedy_b1_vs_ct2": 1.8,
    "greedy_b8_vs_ct2": 2.0,
    "greedy_b32_vs_ct2": 1.5,
    "beam4_b1_vs_ct2": 1.5,
    "beam4_b8_vs_ct2": 1.3,
    "greedy_b8_vs_transformers_bf16": 3.5,
    "script_b8_vs_full": 1.4,
}
LIMITS: dict[str, float] = {"resident_gb": 1.6, "load_peak_vs_resident": 1.5}


def main() -> None:
    """Measure, print the tables, and with `--json` the claims as one last line."""
    options = _parse()
    contest = CONTESTS[options.device]
    synthetic_checkpoint(), converted_checkpoint()
    print(describe_machine(options.threads, "torch", "transformers", "ctranslate2"), flush=True)
    claims = _print_load(contest, options.threads) if options.device == "cpu" else {}
    ct2 = [name for name in options.systems if name.startswith("ctranslate2")]
    if options.systems_by_default:
        ct2 = _best_of_ctranslate2(contest, options.threads, quick=options.quick)
    once = [name for name in options.systems if name in contest.slow]
    often = [name for name in options.systems if name not in {*once, *contest.ct2}] + ct2
    speeds = _measure(contest, often, options.threads, minutes=options.minutes)
    for name in once:
        for case, measured in _measure(contest, [name], options.threads, minutes=0).items():
            speeds.setdefault(case, {}).update(measured)
    names = sorted({name for speed in speeds.values() for name in speed}, key=lambda name: [*often, *once].index(name))
    _print_speeds(names, speeds)
    claims = _ratios(contest, speeds, ct2) | claims
    _print_claims(claims, with_targets=options.device == "cpu" and SHAPE == "600M")
    if options.plot:
        print("plotted", _plot(options.device, names, speeds))
    if options.json:
        print(json.dumps({claim: round(value, 3) for claim, value in claims.items()}))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="CTranslate2's int8 as it comes, and less time")
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object, claim to ratio")
    parser.add_argument("--plot", action="store_true", help="write docs/benchmarks/decode.svg")
    parser.add_argument("--device", choices=CONTESTS, default="cpu", help="that the systems run on")
    parser.add_argument("--threads", type=int, default=2, help="of each system")
    parser.add_argument("--minutes", type=float, help="of the repeats; one is always made (default 4, quick 0.5)")
    parser.add_argument("--systems", help=f"comma-separated, of: {', '.join(SYSTEMS)}")
    options = parser.parse_args()
    os.environ["BENCHMARK_DEVICE"] = options.device
    options.systems_by_default = options.systems is None
    contest = CONTESTS[options.device]
    default = [contest.ours, contest.script, contest.transformers, *contest.others]
    if not options.quick:
        default += contest.slow
    options.systems = options.systems.split(",") if options.systems else default
    unknown = set(options.systems) - set(SYSTEMS)
    if unknown:
        parser.error(f"no such system: {', '.join(sorted(unknown))}; accepted: {', '.join(SYSTEMS)}")
    if options.minutes is None:
        options.minutes = 0.5 if options.quick else 4.0
    return options


def _print_load(contest: Contest, num_threads: int) -> dict[str, float]:
    """Start ours twice, and CTranslate2: the first start may have to round the weights, the second maps them."""
    claims: dict[str, float] = {}
    work = sources(8, seed=8)
    for name in (contest.ours, contest.ours, contest.ct2[0]):
        with _workers([name], num_threads) as (worker,):
            worker.tokens_per_s(work[:1], 1, 2)
            resident, peak = worker.memory_bytes()
            print(f"{name}: first tokens after {worker.load_s:.1f} s of loading, ", end="")
            print(f"{resident / 1e9:.2f} GB resident, {peak / 1e9:.2f} GB at most", flush=True)
            if name == contest.ours:
                claims["load_peak_vs_resident"] = max(claims.get("load_peak_vs_resident", 0.0), peak / resident)
                worker.tokens_per_s(work * 4, 1, 4)  # all the memory that a full batch takes
                claims["resident_gb"] = worker.memory_bytes()[0] / 1e9
                claims["load_s"] = worker.load_s
    return claims


def _best_of_ctranslate2(contest: Contest, num_threads: int, *, quick: bool) -> list[str]:
    """Return the two settings of the best speed over all sizes, as a geometric mean, and the best for 32 sources."""
    if quick:
        return [contest.ct2[0]]
    switches = CTRANSLATE2_SWITCHES if contest is CONTESTS["cpu"] else [""]
    names = [f"{name}{switch}" for name in contest.ct2 for switch in switches]
    speeds: dict[str, list[float]] = {}
    for name in names:
        try:
            speeds[name] = _probe(name, num_threads)
        except RuntimeError as error:  # this machine has no such kernels
            print(f"{name} does not run here: {error}")
    ranked = sorted(speeds, key=lambda name: -statistics.geometric_mean(speeds[name]))
    print("CTranslate2's settings, tokens/s of short runs of 1, 8 and 32 sources:")
    for name in ranked:
        print(f"  {name}:", ", ".join(f"{speed:.0f}" for speed in speeds[name]), flush=True)
    return list(dict.fromkeys([*ranked[:2], max(ranked, key=lambda name: speeds[name][-1])]))


def _probe(name: str, num_threads: int) -> list[float]:
    with _workers([name], num_threads) as (worker,):
        best = [0.0, 0.0, 0.0]
        for _ in range(2):
            for at, count in enumerate((1, 8, 32)):
                speed = worker.tokens_per_s(sources(count, seed=count), 1, NUM_PROBE_TOKENS)
                best[at] = max(best[at], speed)
        return best


@contextmanager
def _workers(names: Sequence[str], num_threads: int) -> Iterator[list[Worker]]:
    workers: list[Worker] = []
    try:
        for name in names:
            workers.append(Worker(name, num_threads))
            if os.environ["BENCHMARK_DEVICE"] == "cpu":  # the others would share its cores
                workers[-1].wait()
        for worker in workers:
            worker.wait()
        yield workers
    finally:
        for worker in workers:
            worker.close()


def _measure(contest: Contest, names: Sequence[str], num_threads: int, *, minutes: float) -> Speeds:
    """Let the systems take turns, case by case, until each case has had its share of the time."""
    speeds: Speeds = {}
    with _workers(names, num_threads) as workers:
        for case in contest.cases:
            num_sources, num_beams = case
            taking_part = [each for each in workers if case in contest.cases_of(each.system)]
            if not taking_part:
                continue
            work = sources(num_sources, seed=num_sources)
            for worker in taking_part:
                worker.tokens_per_s(work, num_beams, 2)  # the first use of a size allocates and tunes
            runs: dict[str, list[float]] = {worker.system: [] for worker in taking_part}
            until = time.monotonic() + 60 * minutes / len(contest.cases)
            while not all(runs.values()) or time.monotonic() < until:
                for worker in taking_part:
                    runs[worker.system].append(worker.tokens_per_s(work, num_beams, NUM_TOKENS))
            speeds[case] = {system: statistics.median(each) for system, each in runs.items()}
            measured = ", ".join(f"{system} {speed:.0f}" for system, speed in speeds[case].items())
            print(f"{_name(*case)}, {min(map(len, runs.values()))} repeats: {measured}", flush=True)
    return speeds


def _ratios(contest: Contest, speeds: Speeds, ct2: Sequence[str]) -> dict[str, float]:
    """Return ours over the best of each peer's settings, where both were measured."""
    ratios = {}
    transformers = contest.transformers.replace("-bfloat", "_bf").replace("-float", "_fp")
    for case, speed in speeds.items():
        for peer, settings in (("ct2", ct2), (transformers, [contest.transformers])):
            measured = [speed[system] for system in settings if system in speed]
            if contest.ours in speed and measured:
                ratios[f"{_name(*case)}_vs_{peer}"] = speed[contest.ours] / max(measured)
        if contest.ours in speed and contest.script in speed:
            ratios[f"script_b{case[0]}_vs_full"] = speed[contest.script] / speed[contest.ours]
    return ratios


def _print_speeds(names: Sequence[str], speeds: Speeds) -> None:
    groups, series = _columns(names, speeds)
    print("\n| tokens/s |", " | ".join(groups), "|")
    print("|---" * (len(groups) + 1) + "|")
    for name in names:
        print(f"| {name} |", " | ".join("-" if value is None else f"{value:.1f}" for value in series[name]), "|")


def _plot(device: str, names: Sequence[str], speeds: Speeds) -> object:
    # Speeds differ too much from one batch size to another to be seen on one scale.
    relative: Speeds = {}
    for case, speed in speeds.items():
        measured = [value for system, value in speed.items() if system.startswith("ctranslate2")]
        best = max(measured, default=math.nan)
        relative[case] = {system: value / best for system, value in speed.items()}
    name, where = ("decode", "") if device == "cpu" else (f"decode-{device}", ", on a GPU")
    title = f"{SHAPE} shape, {NUM_TOKENS} tokens{where}"
    return plot_bars(name, title, "times CTranslate2", *_columns(names, relative))


def _columns(names: Sequence[str], speeds: Speeds) -> tuple[list[str], dict[str, list[float | None]]]:
    groups = [_name(*case).replace("_b", ", batch ") for case in speeds]
    return groups, {name: [speed.get(name) for speed in speeds.values()] for name in names}


def _print_claims(claims: dict[str, float], *, with_targets: bool) -> None:
    targets, limits = (TARGETS, LIMITS) if with_targets else ({}, {})
    print("\n| Claim | Measured | Target |\n|---|---|---|")
    for claim, value in claims.items():
        target = f"at least {targets[claim]}" if claim in targets else ""
        target = f"at most {limits[claim]}" if claim in limits else target
        met = targets.get(claim, -math.inf) <= value <= limits.get(claim, math.inf)
        print(f"| {claim} | {value:.2f} | {target}{'' if met else ': missed'} |")


def _name(num_sources: int, num_beams: int) -> str:
    return f"{'greedy' if num_beams == 1 else f'beam{num_beams}'}_b{num_sources}"


if __name__ == "__main__":
    main()
