"""How busy and how full a device is, as seen from the process that computes on it."""

from __future__ import annotations

from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True)
class DeviceUsage:
    """A device at one moment.

    Attributes:
        memory_used_bytes: By all processes; on Apple's GPUs by this one.
        memory_total_bytes: What there is.
        busy_ratio: Share of the time since the last call (a GPU: of its last sampling period) that it computed; None
            where the device does not tell.
    """

    memory_used_bytes: int
    memory_total_bytes: int
    busy_ratio: float | None


def device_usage(device: str) -> DeviceUsage:
    """Return the usage of a device by its name: `cpu`, `cuda:0`, `mps`."""
    kind = device.partition(":")[0]
    if kind == "cuda":
        return _cuda_usage(device)
    memory = psutil.virtual_memory()
    if kind == "mps":
        import torch

        return DeviceUsage(torch.mps.driver_allocated_memory(), memory.total, None)
    return DeviceUsage(memory.total - memory.available, memory.total, psutil.cpu_percent() / 100)


def _cuda_usage(device: str) -> DeviceUsage:
    import torch

    free, total = torch.cuda.mem_get_info(device)
    try:
        busy_ratio = torch.cuda.utilization(device) / 100
    except Exception:  # whatever NVIDIA's library raises where it is forbidden or lacks its driver
        busy_ratio = None
    return DeviceUsage(total - free, total, busy_ratio)
