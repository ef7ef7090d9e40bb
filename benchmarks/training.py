"""Memory and time of training an adapter against training every weight, on the shape of NLLB-200-distilled-600M.

    python -m benchmarks.training [--quick] [--json] [--plot] [--threads 2] [--pairs 8]

Both run the project's own loop in float32 on the same pairs of 32 tokens a side with the same optimiser (AdamW), each
in a process of its own, one after the other: 13 GB of memory must be free. Peak memory is all of the process', loading
included. Time is also given as CPU time, which other work on the machine disturbs less.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

MAX_MEMORY_RATIO, MAX_TIME_RATIO, MAX_ADAPTER_MB = 0.40, 0.67, 40
_KINDS = ("lora", "full")
_RSS_UNIT_BYTES = 1 if sys.platform == "darwin" else 1024


def main() -> None:
    """Measure, print the table, and with `--json` the ratios as one last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer, smaller steps")
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    parser.add_argument("--plot", action="store_true", help="write docs/benchmarks/training.svg")
    parser.add_argument("--threads", type=int, default=2, help="of each process")
    parser.add_argument("--pairs", type=int, help="in a batch (default 8, quick 4); more make both take more memory")
    parser.add_argument("--kind", choices=_KINDS, help=argparse.SUPPRESS)
    parser.add_argument("--num-steps", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.pairs = options.pairs or (4 if options.quick else 8)
    options.num_steps = options.num_steps or (3 if options.quick else 6)
    if options.kind:
        print(json.dumps(_train(options.kind, options.num_steps, options.pairs)))
        return
    # Not above: what a worker imports counts as its memory.
    from benchmarks.machine import describe_machine
    from benchmarks.plot import plot_bars
    from benchmarks.synthetic import synthetic_checkpoint

    synthetic_checkpoint()
    print(f"{describe_machine(options.threads, 'torch', 'peft')}; {options.pairs} pairs a step", flush=True)
    found = {kind: _in_a_process(kind, options) for kind in _KINDS}
    print("| | peak memory | time per step | CPU time per step | trained weights |\n|---|---|---|---|---|")
    for kind, figures in found.items():
        print(
            f"| {kind} | {figures['peak_bytes'] / 1e9:.2f} GB | {figures['step_s']:.2f} s "
            f"| {figures['step_cpu_s']:.2f} s | {figures['num_trained'] / 1e6:.1f} M |"
        )
    lora, full = found["lora"], found["full"]
    ratios = {
        "memory_ratio": lora["peak_bytes"] / full["peak_bytes"],
        "time_ratio": lora["step_s"] / full["step_s"],
        "cpu_time_ratio": lora["step_cpu_s"] / full["step_cpu_s"],
        "adapter_mb": lora["adapter_bytes"] / 1e6,
    }
    print(
        f"memory {ratios['memory_ratio']:.2f} (at most {MAX_MEMORY_RATIO}), time {ratios['time_ratio']:.2f} "
        f"(at most {MAX_TIME_RATIO}; as CPU time {ratios['cpu_time_ratio']:.2f}), "
        f"adapter {ratios['adapter_mb']:.1f} MB (at most {MAX_ADAPTER_MB})"
    )
    if options.plot:
        title, columns = f"Training, 600M shape, {options.pairs} pairs a step", ("peak memory", "time per step")
        shares = [[found[kind][key] / full[key] for key in ("peak_bytes", "step_s")] for kind in _KINDS]
        series = dict(zip(("LoRA, r=16", "every weight"), shares, strict=True))
        targets = (MAX_MEMORY_RATIO, MAX_TIME_RATIO)
        print("plotted", plot_bars("training", title, "of training every weight", columns, series, targets=targets))
    if options.json:
        print(json.dumps({key: round(value, 3) for key, value in ratios.items()}))


def _in_a_process(kind: str, options: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.training", "--kind", kind, "--pairs", str(options.pairs)]
    command += ["--num-steps", str(options.num_steps)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _train(kind: str, num_steps: int, num_pairs: int) -> dict[str, Any]:
    """Train for a few steps and return what it took; the first step allocates and does not count."""
    import numpy as np
    import torch
    from torch import nn

    from benchmarks.synthetic import sources, synthetic_checkpoint
    from configs.schema import LoraSettings, TrainingSettings
    from train.checkpoint import CheckpointStore
    from train.data.tokens import TokenizedPairs
    from train.job import ModelPlan
    from train.loop import TrainingLoop
    from train.model import load_trainable, save_model, trained_weights
    from train.records import DevRecord, Record, TrainRecord

    class Enough(Exception):
        """Ends the run before it evaluates and saves."""

    class Watch:
        """Takes the time of each step."""

        device = torch.device("cpu")

        def __init__(self) -> None:
            self.times = [(time.perf_counter(), time.process_time())]

        def wrap(self, module: nn.Module) -> nn.Module:
            return module

        def record(self, record: Record) -> None:
            if isinstance(record, TrainRecord):
                self.times.append((time.perf_counter(), time.process_time()))
                if record.step == num_steps:
                    raise Enough

        def synchronise(self, record: DevRecord) -> None: ...

    def write(folder: Path, rows: list[list[int]]) -> TokenizedPairs:
        folder.mkdir()
        for side in ("source", "target"):
            np.concatenate([np.array(row, dtype=np.uint32) for row in rows]).tofile(folder / f"{side}.tokens")
            np.save(folder / f"{side}.ends.npy", np.cumsum([len(row) for row in rows], dtype=np.int64))
        return TokenizedPairs(folder)

    with tempfile.TemporaryDirectory() as home:
        pairs = write(Path(home, "pairs"), sources(num_steps * num_pairs, shortest=32, longest=32))
        settings = TrainingSettings(epochs=1, batch_size=num_pairs, log_interval_steps=1, num_chrf_sentences=0)
        checkpoint = synthetic_checkpoint()
        model = load_trainable(checkpoint, ModelPlan(lora=LoraSettings() if kind == "lora" else None))
        watch = Watch()
        loop = TrainingLoop(
            model,
            pairs,
            pairs,
            settings,
            peak_learning_rate=1e-4,
            precision=torch.float32,
            pad_id=1,
            store=CheckpointStore(f"{home}/checkpoints", 1),
            around=watch,
        )
        try:
            loop.run()
        except Enough:
            peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT_BYTES
        figures = {
            "peak_bytes": peak_bytes,
            "num_trained": sum(weight.numel() for weight in trained_weights(model).values()),
        }
        for place, name in enumerate(("step_s", "step_cpu_s")):
            steps = [after[place] - before[place] for before, after in zip(watch.times, watch.times[1:], strict=False)]
            figures[name] = statistics.median(steps[1:])
        if kind == "lora":
            save_model(model, checkpoint, Path(home, "adapter"), base_name="benchmark")
            figures["adapter_bytes"] = sum(file.stat().st_size for file in Path(home, "adapter").iterdir())
        return figures


if __name__ == "__main__":
    main()
