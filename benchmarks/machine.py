"""What a measurement was made on: for the head of every benchmark's output."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "asimddp")


def describe_machine(num_threads: int, *packages: str) -> str:
    """Return one line: processor, its number formats, cores, threads, the device if another, and packages' versions."""
    model, flags = platform.processor() or platform.machine(), set[str]()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        facts = dict(
            (key.strip(), value.strip())
            for key, _, value in (line.partition(":") for line in cpuinfo.read_text(encoding="utf-8").splitlines())
        )
        model = facts.get("model name", model)
        flags = set(facts.get("flags", facts.get("Features", "")).split())
    formats = " ".join(flag for flag in _FLAGS if flag in flags)
    device = ""
    if os.environ.get("BENCHMARK_DEVICE", "cpu") != "cpu":
        import torch

        device = f"; {torch.cuda.get_device_name()}"
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return f"{model} ({formats}), {os.cpu_count()} cores, {num_threads} threads{device}; {versions}"
