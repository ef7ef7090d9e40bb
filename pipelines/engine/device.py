"""What does this machine offer, and what of it is used: device, number format, threads, memory?"""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import torch

from pipelines.errors import StartupError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
SHARE_FOR_DECODING = 0.5  # of the free memory; the rest is for the encoder, other processes, and surprises


def pick_device(requested: str = "auto") -> torch.device:
    """Return the device to run on; `auto` takes a GPU, else Apple MPS, else the CPU.

    Raises:
        StartupError: This machine has no such device.
    """
    here = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if requested == "auto":
        requested = next(kind for kind in ("cuda", "mps", "cpu") if here[kind])
    kind = requested.partition(":")[0]
    if not here.get(kind, False):
        accepted = ", ".join(["auto", *(kind for kind, present in here.items() if present)])
        raise StartupError(
            f"model.device = {requested!r}: not on this machine; accepted here: {accepted}", field="model.device"
        )
    return torch.device(kind, 0) if requested == "cuda" else torch.device(requested)


def pick_float(requested: str, device: torch.device) -> torch.dtype:
    """Return the floating-point format of weights; `auto` is a 16-bit one on a GPU and float32 elsewhere.

    Raises:
        StartupError: It is none of the floating-point formats.
    """
    if requested == "auto":
        if device.type != "cuda":
            return torch.float32
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if requested not in DTYPES:
        raise StartupError(
            f"model.dtype = {requested!r}: this engine accepts auto, {', '.join(DTYPES)}", field="model.dtype"
        )
    return DTYPES[requested]


def pin_threads(num_threads: int | None) -> int:
    """Set, for this process, how many threads one operation of torch uses, and return the number.

    None takes torch's own choice (physical cores, or OMP_NUM_THREADS, which Ray sets to a replica's CPUs), but no
    more than the CPUs this process may use: over-subscribed threads wait for each other.
    """
    chosen = num_threads or min(torch.get_num_threads(), _usable_cpus())
    torch.set_num_threads(chosen)
    return chosen


def decoding_memory_bytes(device: torch.device) -> int:
    """Return how much memory decoding may take on this device beside what is loaded already."""
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
    elif device.type == "mps":
        free = torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    else:
        free = min(psutil.virtual_memory().available, _cgroup_free_bytes())
    return int(SHARE_FOR_DECODING * max(0, free))


def _usable_cpus() -> int:
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, _, period = _read(Path("/sys/fs/cgroup/cpu.max")).partition(" ")
    if quota.isdigit():
        cpus = min(cpus, max(1, int(quota) // int(period)))
    return cpus


def _cgroup_free_bytes() -> float:
    """Return what a container's limit leaves (cgroup v2, then v1), or infinity where there is no limit."""
    for limit_file, usage_file in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        limit = _read(Path("/sys/fs/cgroup", limit_file))
        usage = _read(Path("/sys/fs/cgroup", usage_file))
        if limit.isdigit() and usage.isdigit():
            return int(limit) - int(usage)
    return float("inf")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""
