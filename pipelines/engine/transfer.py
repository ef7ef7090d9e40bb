"""Numbers on their way from the host to the device, which is not waited for."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def integers(values: Sequence[int], device: torch.device) -> Tensor:
    """Return `[len(values)]` on a device, without waiting for what it is doing."""
    tensor = torch.tensor(values, dtype=torch.long)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


class Inputs:
    """Integers on a device that are overwritten from the host, without waiting for what the device is doing.

    Args:
        values: At first.
        device: Where `tensor` is.

    Attributes:
        tensor: `[len(values)]`, at the same place for ever.
    """

    def __init__(self, values: Sequence[int], device: torch.device) -> None:
        self.tensor = integers(values, device)
        self._host = torch.empty(len(values), dtype=torch.long, pin_memory=device.type == "cuda")
        self._copied = torch.cuda.Event() if device.type == "cuda" else None  # type: ignore[no-untyped-call]

    def write(self, values: Sequence[int]) -> None:
        """Overwrite all; operations that were launched before still read what was there then."""
        if self._copied is not None:
            self._copied.synchronize()  # or the copy before this one could read these values
        self._host.numpy()[:] = values
        self.tensor.copy_(self._host, non_blocking=True)
        if self._copied is not None:
            self._copied.record()
