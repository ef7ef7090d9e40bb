"""Linear layers in int8: weights rounded per output feature, activations per row, integer sums.

Rounding activations with one scale per call, as torch's own dynamic int8 does, would make a row depend on its
neighbours. Each row is therefore divided by its own largest magnitude first and its product multiplied back: integer
sums are exact, so a row's product is the same in any batch.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import cache

import torch
from torch import Tensor

from pipelines.engine.kernels.functions import WIDTH_MULTIPLE, Kernels, Places
from pipelines.engine.kernels.structures import Int8Layer
from pipelines.engine.linear import ROWS_TO_SPREAD, Linear
from pipelines.errors import StartupError

_SMALLEST_SCALE = 1e-12  # keeps a row of zeros from becoming 0 / 0
# As many are faster together, with all kernels: docs/decisions/0014-kernels-of-our-own.md
_ROWS_TO_SPREAD_WITH_KERNELS = 16
_ROWS_AT_ONCE = 8192  # of a weight being rounded: the output layer in float32 alone takes a gigabyte


@cache
def has_fbgemm() -> bool:
    """Whether torch's own product runs on this processor: on Arm it is there, and refuses to."""
    if "fbgemm" not in torch.backends.quantized.supported_engines:
        return False
    try:
        FbgemmLinear(torch.ones(1, 16, dtype=torch.int8), torch.ones(1), None)(torch.ones(1, 16))
    except RuntimeError:
        return False
    return True


class Int8Backend:
    """A `Backend` with the project's own integer product, or FBGEMM's without kernels."""

    name = "int8"
    compute_dtype = torch.float32
    device = torch.device("cpu")
    row_multiple = 1

    def __init__(self, kernels: Kernels | None) -> None:
        self._kernels = kernels
        # Without AVX-512, it takes torch longer to turn keys and values into float32 than to read twice as much.
        # The 11 bits of float16 are more than the 8 of what they are computed from.
        reads_float16 = kernels is not None or torch.cpu._is_avx512_supported()
        self.cache_dtype = torch.float16 if reads_float16 else torch.float32
        self.rows_to_spread = ROWS_TO_SPREAD if kernels is None else _ROWS_TO_SPREAD_WITH_KERNELS

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
        """Build the layer over a packed weight.

        Raises:
            StartupError: No product of this processor's takes so many inputs.
        """
        parts = stored["weight"], stored["scale"], bias
        width = stored["weight"].shape[1]
        if self._kernels is not None and width % WIDTH_MULTIPLE == 0:
            return OwnLinear(*parts, self._kernels, nonnegative_input=nonnegative_input)
        if not has_fbgemm():
            raise StartupError(
                f"model.dtype = 'int8': a layer of the model has {width} inputs; "
                f"on this processor accepted are multiples of {WIDTH_MULTIPLE}",
                field="model.dtype",
            )
        return FbgemmLinear(*parts, nonnegative_input=nonnegative_input)


class OwnLinear:
    """A `Linear` over the project's own product, see `kernels/int8.h`.

    Attributes:
        layer: What the kernels read; its memory is this object's.
    """

    def __init__(
        self, weight: Tensor, scale: Tensor, bias: Tensor | None, kernels: Kernels, *, nonnegative_input: bool = False
    ) -> None:
        num_levels, zero = (255, 0) if nonnegative_input else (127, 128)
        packed, surplus = kernels.int8_pack(weight, zero)
        self._kernels = kernels
        self._held = (packed, scale / num_levels, surplus, None if bias is None else bias.contiguous())
        pointers = [None if tensor is None else tensor.data_ptr() for tensor in self._held]
        self.layer = Int8Layer(*pointers, weight.shape[1], weight.shape[0], num_levels, zero)

    def __call__(self, x: Tensor) -> Tensor:
        """Apply the layer."""
        return self._kernels.int8_linear(self.layer, x)

    def best(self, x: Tensor, forbidden: Places, excluded: Places, number: int) -> tuple[Tensor, Tensor]:
        """Return the best outputs, which never are in memory all at once; see `Kernels.best_of_product`."""
        return self._kernels.best_of_product(self.layer, x, forbidden, excluded, number)


class FbgemmLinear:
    """A `Linear` over FBGEMM's product, of whose activations zero lies in the middle, or at 0 if none is negative."""

    def __init__(self, weight: Tensor, scale: Tensor, bias: Tensor | None, *, nonnegative_input: bool = False) -> None:
        # For all weights that this process packs: below 32 rows FBGEMM is faster than the default, and there as fast.
        torch.backends.quantized.engine = "fbgemm"
        # Deprecated in torch 2.13, the version that is pinned.
        warnings.filterwarnings("ignore", message=r"torch\.quantize_per_tensor", category=UserWarning)
        self._packed = _pack_for_fbgemm(weight, scale)
        self._bias = bias
        self._nonnegative = nonnegative_input
        # Without VNNI FBGEMM adds pairs of products in 16 bits; 7-bit activations cannot overflow them.
        num_levels = 255 if torch.cpu._is_vnni_supported() else 127
        self._zero_point = 0 if nonnegative_input else num_levels // 2 + 1
        self._step = 1 / num_levels if nonnegative_input else 1 / (num_levels // 2)
        self._product = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32

    def __call__(self, x: Tensor) -> Tensor:
        """Apply the layer."""
        magnitudes = x if self._nonnegative else x.abs()
        row_scale = magnitudes.amax(-1, keepdim=True).clamp_min_(_SMALLEST_SCALE)
        y: Tensor = self._product(x / row_scale, self._step, self._zero_point, self._packed)
        return y.mul_(row_scale) if self._bias is None else torch.addcmul(self._bias, y, row_scale, out=y)


def _pack_for_fbgemm(weight: Tensor, scale: Tensor) -> object:
    zero_points = torch.zeros(len(scale), dtype=torch.long)
    quantized = torch._empty_per_channel_affine_quantized(
        [0], scales=scale.double(), zero_points=zero_points, axis=0, dtype=torch.qint8
    )
    quantized.set_(weight.untyped_storage(), weight.storage_offset(), weight.shape, weight.stride())  # not a copy
    packed: object = torch.ops.quantized.linear_prepack(quantized, None)
    return packed
