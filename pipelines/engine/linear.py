"""The seam between the network and the kernels: one `Linear` per layer, one backend per number format.

A backend first turns a float weight into the tensors it stores (`prepare`, what the cache on disk holds), and then
those tensors into a callable (`linear`, packed for the device at hand). Here are those of floating-point formats;
`int8.py` is the other. Knows nothing of layers or attention.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

ROWS_TO_SPREAD = 4
"""Where a product takes longer with each row; `docs/decisions/0011-a-lane-for-each-core.md`."""


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
        rows_to_spread: For each core; fewer rows are decoded faster together, since reading weights takes most of the
            time.
    """

    name: str
    compute_dtype: torch.dtype
    cache_dtype: torch.dtype
    device: torch.device
    row_multiple: int
    rows_to_spread: int

    def prepare(self, weight: Tensor) -> dict[str, Tensor]:
        """Return what is stored of `weight [out_features, in_features]`."""
        ...

    def linear(self, stored: Mapping[str, Tensor], bias: Tensor | None, *, nonnegative_input: bool = False) -> Linear:
        """Build a layer.

        Args:
            stored: What `prepare` returned.
            bias: `[out_features]`.
            nonnegative_input: Whether no number of its inputs is ever negative.
        """
        ...


class DenseBackend:
    """Torch's own product, in any dtype, on any device."""

    rows_to_spread = ROWS_TO_SPREAD

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
    rows_to_spread = ROWS_TO_SPREAD

    def prepare(self, weight: Tensor) -> dict[str, Tensor]:
        """Round to bfloat16."""
        return {"weight": weight.detach().to("cpu", torch.bfloat16).contiguous()}

    def linear(self, stored: Mapping[str, Tensor], bias: Tensor | None, *, nonnegative_input: bool = False) -> Linear:
        """Build the layer over a reordered weight."""
        packed = torch.ops.mkldnn._reorder_linear_weight(stored["weight"].clone(), None)
        bias = None if bias is None else bias.to(torch.bfloat16)
        return lambda x: torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")
