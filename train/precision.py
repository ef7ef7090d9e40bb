"""In which number format do the workers compute? In one for all: their devices decide it, not the command's."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch import distributed as dist

from pipelines.engine.device import pick_float


def agreed_precision(requested: str, device: torch.device) -> torch.dtype:
    """Return what `training.precision` comes to; the same on all workers, all of which call this.

    Args:
        requested: `auto` is bfloat16 if the GPUs of all workers have it, float16 if one has not; float32 on CPUs.
        device: Of this worker.
    """
    own = pick_float(requested, device)
    return own if requested != "auto" or own == torch.float32 else agreed(own, device, _minimum_of_workers)


def agreed(own: torch.dtype, device: torch.device, minimum: Callable[[Tensor], object]) -> torch.dtype:
    """Return bfloat16 if it is every worker's own format, else float16.

    Args:
        own: This worker's.
        device: Likewise.
        minimum: Replaces a number by the least of all workers'.
    """
    has_bfloat16 = torch.tensor(int(own == torch.bfloat16), device=device)
    minimum(has_bfloat16)
    return torch.bfloat16 if has_bfloat16 else torch.float16


def _minimum_of_workers(number: Tensor) -> None:
    if dist.is_initialized():
        dist.all_reduce(number, dist.ReduceOp.MIN)
