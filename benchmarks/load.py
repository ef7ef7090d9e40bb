"""The whole service over HTTP: throughput and latency, cold and cached, against what it is made of and its peers.

    python -m benchmarks.load [--quick] [--json] [--plot] [--model 600M|demo] [--systems ours,engine,echo]

Systems run the same weights one after the other on the same machine, each alone with the load generator, which needs a
share of the cores too: read the ratios. `--model 600M` (the default) has the shape of NLLB-200-distilled-600M and
random weights, here in int8; the demo model (`--quick`) is so small that what is measured is the Python around it.
Needs the `benchmark` extra.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from dataclasses import dataclass

from benchmarks.load_client import Sample, Send, closed_loop, open_loop
from benchmarks.load_systems import bare_engine, served
from benchmarks.load_work import Model, model
from benchmarks.machine import describe_machine
from benchmarks.plot import plot_bars, plot_lines

SYSTEMS = ("engine", "ours", "echo", "ctranslate2", "transformers")
OVERLOAD = 5
SHARES = (0.5, 0.8, 1.5, OVERLOAD)
TARGETS = {"service_vs_engine": 0.95, "service_vs_ct2_server": 3.0, "service_vs_transformers_server": 10.0}
TARGETS |= {"overload_goodput_vs_peak": 0.9}
LIMITS = {"cached_p50_vs_echo": 2.0, "overload_p99_vs_deadline": 1.0}
_HEAD = f"{'':42}{'req/s':>9}{'char/s':>9}{'p50 ms':>9}{'p95 ms':>9}{'p99 ms':>9}{'refused':>9}{'failed':>8}"

Results = dict[str, Sample]


@dataclass(frozen=True, slots=True)
class Plan:
    """How long is measured, and with how many clients."""

    warm_s: float
    duration_s: float
    cached_s: float
    clients: tuple[int, ...]


QUICK = {"demo": Plan(1, 3, 2, (1, 32)), "600M": Plan(8, 16, 3, (1, 32))}
WHOLE = {"demo": Plan(3, 10, 5, (1, 8, 32, 128, 256)), "600M": Plan(12, 40, 8, (1, 8, 32, 128, 256))}


def main() -> None:
    """Measure, print as it is measured, and with `--json` the claims as one last line."""
    options = _parse()
    weights = model(options.model)
    plan = (QUICK if options.quick else WHOLE)[options.model]
    print(describe_machine(2, "ray", "torch", "transformers", "ctranslate2"))
    print(
        f"{options.model}; {plan.duration_s:g} s for each figure; deadline {weights.deadline_s:g} s\n{_HEAD}",
        flush=True,
    )
    results: Results = {}
    for system in options.systems:
        asyncio.run(_measure(system, weights, plan, results))
    claims = _claims(results, weights)
    _print_claims(claims)
    if options.plot:
        _plot(results, options.model)
    if options.json:
        print(json.dumps({claim: round(value, 3) for claim, value in claims.items()}))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the demo model, seconds for each figure, few clients")
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object, claim to ratio")
    parser.add_argument("--plot", action="store_true", help="draw into docs/benchmarks")
    parser.add_argument("--model", choices=("600M", "demo"), help="which weights all systems run")
    parser.add_argument("--systems", default=",".join(SYSTEMS), help="comma-separated")
    options = parser.parse_args()
    wanted = options.systems.split(",")
    if unknown := set(wanted) - set(SYSTEMS):
        parser.error(f"no such system: {', '.join(sorted(unknown))}; accepted: {', '.join(SYSTEMS)}")
    options.systems = [system for system in SYSTEMS if system in wanted]
    options.model = options.model or ("demo" if options.quick else "600M")
    return options


async def _measure(system: str, weights: Model, plan: Plan, results: Results) -> None:
    async def mixed(send: Send, num_clients: int, kind: str = "mixed") -> None:
        jobs = weights.jobs(kind)
        sample = await closed_loop(send, jobs, num_clients=num_clients, warm_s=plan.warm_s, duration_s=plan.duration_s)
        _keep(results, f"{system}, {num_clients} clients, {kind}", sample)

    async def repeated(send: Send, num_clients: int) -> None:
        job = weights.job("Where is the pharmacy?")
        sample = await closed_loop(send, [job], num_clients=num_clients, warm_s=1, duration_s=plan.cached_s)
        _keep(results, f"{system}, {num_clients} clients, one text", sample)

    if system == "engine":
        async with bare_engine(weights) as send:
            await mixed(send, 32)
        return
    async with served(system, weights) as send:
        if system == "echo":
            for num_clients in (1, 32):
                await repeated(send, num_clients)
            return
        await closed_loop(send, weights.jobs("mixed"), num_clients=8, warm_s=2, duration_s=0)  # first uses are slow
        if system != "ours":
            await mixed(send, 32)
            return
        for kind in ("short", "long"):
            await mixed(send, 32, kind)
        for num_clients in plan.clients:
            await mixed(send, num_clients)
        for num_clients in (1, 32):
            await repeated(send, num_clients)
        capacity = results["ours, 32 clients, mixed"].requests_per_s
        for share in SHARES:
            jobs = weights.jobs("mixed")
            # Overload begins when the deadlines of the first jobs do.
            warm_s = weights.deadline_s if share > 1 else plan.warm_s
            sample = await open_loop(
                send, jobs, requests_per_s=share * capacity, warm_s=warm_s, duration_s=plan.duration_s
            )
            _keep(results, f"ours, open loop at {share:g} of capacity", sample)


def _keep(results: Results, name: str, each: Sample) -> None:
    results[name] = each
    percentiles = "".join(f"{each.percentile_ms(percent):9.1f}" for percent in (50, 95, 99))
    print(
        f"{name:42}{each.requests_per_s:9.1f}{each.characters_per_s:9.0f}{percentiles}"
        f"{each.num_refused:9}{each.num_failed:8}"
        + ("" if not each.num_failed else f"  answers by status: {dict(each.statuses)}"),
        flush=True,
    )


def _claims(results: Results, weights: Model) -> dict[str, float]:
    """Return the ratios that can be told from what was measured."""
    claims: dict[str, float] = {}
    ours = results.get("ours, 32 clients, mixed")
    if ours is None:
        return claims
    peers = {"engine": "service_vs_engine", "ctranslate2": "service_vs_ct2_server"}
    peers |= {"transformers": "service_vs_transformers_server"}
    for system, claim in peers.items():
        if peer := results.get(f"{system}, 32 clients, mixed"):
            claims[claim] = ours.characters_per_s / peer.characters_per_s
    if echo := results.get("echo, 1 clients, one text"):
        cached = results["ours, 1 clients, one text"]
        claims["cached_p50_vs_echo"] = cached.percentile_ms(50) / echo.percentile_ms(50)
    peak = max(each.characters_per_s for name, each in results.items() if _is_mixed_load_on_ours(name))
    overload = results[f"ours, open loop at {OVERLOAD} of capacity"]
    claims["overload_goodput_vs_peak"] = overload.characters_per_s / peak
    claims["overload_p99_vs_deadline"] = overload.percentile_ms(99) / (weights.deadline_s * 1000)
    return claims


def _is_mixed_load_on_ours(name: str) -> bool:
    return name.startswith("ours") and (name.endswith("mixed") or "open loop" in name)


def _print_claims(claims: dict[str, float]) -> None:
    for claim, value in claims.items():
        target = f"at least {TARGETS[claim]:g}" if claim in TARGETS else f"at most {LIMITS[claim]:g}"
        print(f"{claim:42}{value:9.2f}   {target}")


def _plot(results: Results, name: str) -> None:
    speeds = {
        system: [each.characters_per_s]
        for system in SYSTEMS
        if (each := results.get(f"{system}, 32 clients, mixed")) is not None
    }
    if speeds:
        title = f"{name}, 32 clients, mixed lengths"
        plot_bars("load", title, "characters per second", ["whole service"], speeds)
    offered = [(share, results.get(f"ours, open loop at {share:g} of capacity")) for share in SHARES]
    points = [(share, each.characters_per_s) for share, each in offered if each is not None]
    if points:
        units = ("offered, of the capacity", "characters per second")
        plot_lines("overload", f"{name}, answered in time", units, {"goodput": points})


if __name__ == "__main__":
    main()
