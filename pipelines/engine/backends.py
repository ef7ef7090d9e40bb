"""Which number formats a device has, and the backend of each."""

from __future__ import annotations

import torch

from pipelines.engine.device import pick_float
from pipelines.engine.int8 import Int8Backend, has_fbgemm
from pipelines.engine.kernels.functions import loaded
from pipelines.engine.linear import Backend, DenseBackend, PackedBfloat16Backend
from pipelines.errors import StartupError


def choose_backend(dtype: str, device: torch.device) -> Backend:
    """Return the backend of that name for the device; `auto` is a 16-bit format on a GPU and float32 elsewhere.

    Raises:
        StartupError: The device has no such kernels; the message names those it has.
    """
    if dtype == "auto":
        dtype = str(pick_float("auto", device)).removeprefix("torch.")
    accepted = accepted_formats(device)
    if dtype not in accepted:
        raise StartupError(
            f"model.dtype = {dtype!r}: on {device} accepted are auto, {', '.join(accepted)}", field="model.dtype"
        )
    if dtype == "int8":
        return Int8Backend(loaded())
    if dtype == "bfloat16" and device.type == "cpu" and torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return PackedBfloat16Backend()
    return DenseBackend(dtype, device)


def accepted_formats(device: torch.device) -> list[str]:
    """Return the number formats that `choose_backend` has for the device."""
    accepted = ["float32", "bfloat16", "float16"]
    if device.type == "cpu" and (has_fbgemm() or loaded() is not None):
        accepted.append("int8")
    return accepted
