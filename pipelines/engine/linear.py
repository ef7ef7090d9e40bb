"""The seam between the network and the kernels: one `Linear` per layer, one backend per number format.

A backend first turns a float weight into the tensors it stores (`prepare`, what the cache on disk holds), and then
those tensors into a callable (`linear`, packed for the CPU at hand). Knows nothing of layers or attention.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from pipelines.engine.device import pick_float
from pipelines.errors import StartupError

_SMALLEST_SCALE = 1e-12  # keeps a row of zeros from becoming 0 / 0
_ROWS_AT_ONCE = 8192  # of a weight being rounded: the output layer in float32 alone takes a gigabyte


class Linear(Protocol):
    """`x [rows, in_features]` to `x @ weight.T + bias [rows, out_features]`, in the backend's compute dtype."""

    def __call__(self, x: Tensor) -> Tensor:
        """Apply the layer."""
        ...


class Backend(Protocol):
    """How linear layers are stored and computed.

    Attributes:
        name: `int8`, `bfloat16`, `float16` or `float32`.
        compute_dtype: Of activations between the layers.
        cache_dtype: Of the keys and values that are kept.
        device: Where the weights live.
        row_multiple: Of rows that a large weight should have for a fast product.
    """

    name: str
    compute_dtype: torch.dtype
    cache_dtype: torch.dtype
    device: torch.device
    row_multiple: int

    def prepare(self, weight: Tensor) -> dict[str, Tensor]:
        """Return what is stored of `weight [out_features, in_features]`."""
        ...

    def linear(self, stored: Mapping[str, Tensor], bias: Tensor | None, *, nonnegative_input: bool = False) -> Linear:
        """Build the layer from what `prepare` returned; its input is never negative if so promised."""
        ...


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
        return Int8Backend()
    if dtype == "bfloat16" and device.type == "cpu" and torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return PackedBfloat16Backend()
    return DenseBackend(dtype, device)


def accepted_formats(device: torch.device) -> list[str]:
    """Return the number formats that `choose_backend` has for the device."""
    accepted = ["float32", "bfloat16", "float16"]
    if device.type == "cpu" and "fbgemm" in torch.backends.quantized.supported_engines:
        accepted.append("int8")
    return accepted


class DenseBackend:
    """Torch's own product, in any dtype, on any device."""

    def __init__(self, dtype: str = "float32", device: torch.device | None = None) -> None:
        self.name = dtype
        self.compute_dtype: torch.dtype = getattr(torch, dtype)
        self.cache_dtype = self.compute_dtype
        self.device = device or torch.device("cpu")
        self.row_multiple = 64 if self.device.type == "cuda" else 1

    def prepare(self, weight: Tensor) -> dict[str, Tensor]:
        """Round to the dtype, on the device."""
        return {"weight": weight.detach().to(self.device).to(self.compute_dtype).contiguous()}

    def linear(self, stored: Mapping[str, Tensor], bias: Tensor | None, *, nonnegative_input: bool = False) -> Linear:
        """Build `torch.nn.functional.linear` over the weight."""
        weight = stored["weight"]
        bias = None if bias is None else bias.to(self.device, self.compute_dtype)
        return lambda x: functional.linear(x, weight, bias)


class PackedBfloat16Backend:
    """oneDNN's bfloat16 product on the CPU, its weights reordered once instead of in every call."""

    name = "bfloat16"
    compute_dtype = torch.bfloat16
    cache_dtype = torch.bfloat16
    device = torch.device("cpu")
    row_multiple = 1

    def prepare(self, weight: Tensor) -> dict[str, Tensor]:
        """Round to bfloat16."""
        return {"weight": weight.detach().to("cpu", torch.bfloat16).contiguous()}

    def linear(self, stored: Mapping[str, Tensor], bias: Tensor | None, *, nonnegative_input: bool = False) -> Linear:
        """Build the layer over a reordered weight."""
        packed = torch.ops.mkldnn._reorder_linear_weight(stored["weight"].clone(), None)
        bias = None if bias is None else bias.to(torch.bfloat16)
        return lambda x: torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")


class Int8Backend:
    """FBGEMM's int8 product: weights per output channel, activations per row.

    FBGEMM quantizes activations with one scale per call, which would make a row depend on its neighbours. Each row
    is therefore divided by its own largest magnitude first, so that one constant scale fits all of them, and the
    result is multiplied back: integer sums are exact, so a row's product is the same in any batch.
    """

    name = "int8"
    compute_dtype = torch.float32
    device = torch.device("cpu")
    row_multiple = 1

    def __init__(self) -> None:
        # float16's 11 bits are finer than the 8 of what keys and values are computed from, and half the memory. Without
        # AVX-512, turning them into float32 in every step takes longer than reading twice as much.
        self.cache_dtype = torch.float16 if torch.cpu._is_avx512_supported() else torch.float32
        # Without VNNI FBGEMM adds pairs of products in 16 bits; 7-bit activations cannot overflow them.
        self._num_levels = 255 if torch.cpu._is_vnni_supported() else 127
        # For all weights that this process packs: below 32 rows FBGEMM is faster than the default, and there as fast.
        torch.backends.quantized.engine = "fbgemm"
        # Deprecated in torch 2.13, the version that is pinned.
        warnings.filterwarnings("ignore", message=r"torch\.quantize_per_tensor", category=UserWarning)

    def prepare(self, weight: Tensor) -> dict[str, Tensor]:
        """Round to int8, symmetric, one scale per output feature."""
        rounded = torch.empty(weight.shape, dtype=torch.int8)
        scale = torch.empty(len(weight))
        for first in range(0, len(weight), _ROWS_AT_ONCE):
            block = slice(first, first + _ROWS_AT_ONCE)
            rows = weight[block].detach().to("cpu", torch.float32)
            scale[block] = rows.abs().amax(dim=1).div_(127).clamp_min_(_SMALLEST_SCALE)
            rounded[block] = (rows / scale[block, None]).round_()
        return {"weight": rounded, "scale": scale}

    def linear(self, stored: Mapping[str, Tensor], bias: Tensor | None, *, nonnegative_input: bool = False) -> Linear:
        """Build the layer over a packed weight."""
        packed = _pack_int8(stored["weight"], stored["scale"])
        if nonnegative_input:
            return _Int8Linear(packed, bias, 1 / self._num_levels, zero_point=0)
        half = self._num_levels // 2
        return _Int8Linear(packed, bias, 1 / half, zero_point=half + 1)


class _Int8Linear:
    def __init__(self, packed: object, bias: Tensor | None, step: float, zero_point: int) -> None:
        self._packed = packed
        self._bias = bias
        self._step = step
        self._zero_point = zero_point
        self._product = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32

    def __call__(self, x: Tensor) -> Tensor:
        magnitude = x if self._zero_point == 0 else x.abs()
        row_scale = magnitude.amax(-1, keepdim=True).clamp_min_(_SMALLEST_SCALE)
        y: Tensor = self._product(x / row_scale, self._step, self._zero_point, self._packed)
        return y.mul_(row_scale) if self._bias is None else torch.addcmul(self._bias, y, row_scale, out=y)


def _pack_int8(weight: Tensor, scale: Tensor) -> object:
    zero_points = torch.zeros(len(scale), dtype=torch.long)
    quantized = torch._empty_per_channel_affine_quantized(
        [0], scales=scale.double(), zero_points=zero_points, axis=0, dtype=torch.qint8
    )
    quantized.set_(weight.untyped_storage(), weight.storage_offset(), weight.shape, weight.stride())  # not a copy
    packed: object = torch.ops.quantized.linear_prepack(quantized, None)
    return packed
