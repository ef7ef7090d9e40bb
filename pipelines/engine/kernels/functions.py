"""The compiled kernels as functions over tensors; `loaded` returns them where this machine has them.

Calls let go of the GIL, and have the threads that `torch.set_num_threads` gave to their own.
"""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.profiler import record_function

from pipelines.engine.kernels.build import library_file
from pipelines.engine.kernels.structures import Int8Layer, Sources, Step

_LOGGER = logging.getLogger(__name__)
_OUTPUTS_TOGETHER = 32
_POINTER, _COUNT = ctypes.c_void_p, ctypes.c_int64

WIDTH_MULTIPLE = 16
"""What the kernels read at once, and what a layer's inputs must be a multiple of."""


class Kernels:
    """The functions of a library.

    Attributes:
        has_tiles: Whether products take AMX's.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self._pack = _function(library, "nllb_int8_pack", _POINTER, _COUNT, _COUNT, _POINTER, _POINTER)
        self._linear = _function(library, "nllb_int8_linear", ctypes.POINTER(Int8Layer), _POINTER, _COUNT, _POINTER)
        self._encode = _function(library, "nllb_encode", ctypes.POINTER(Sources))
        self._step = _function(library, "nllb_decoder_step", ctypes.POINTER(Step))
        scores, excluded, best = [_POINTER, _COUNT, _COUNT], [_POINTER, _POINTER, _COUNT], [_COUNT, _POINTER, _POINTER]
        self._best = _function(library, "nllb_best", *scores, *excluded, *best)
        self.has_tiles = torch.cpu._is_amx_tile_supported() and torch.cpu._init_amx()
        if self.has_tiles:
            library.nllb_use_tiles()

    def int8_pack(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return `weight [out_features, in_features]` as a layer reads it, and the sums of its rows in int32."""
        weight = weight.contiguous()
        num_outputs, num_inputs = weight.shape
        filled = -(-num_outputs // _OUTPUTS_TOGETHER) * _OUTPUTS_TOGETHER
        packed = torch.empty(filled, num_inputs, dtype=torch.int8)
        sums = torch.empty(num_outputs, dtype=torch.int32)
        self._pack(weight.data_ptr(), num_outputs, num_inputs, packed.data_ptr(), sums.data_ptr())
        return packed, sums

    def int8_linear(self, layer: Int8Layer, x: Tensor) -> Tensor:
        """Return `[rows, out_features]` of `x [rows, in_features]`, both in float32."""
        x = x.contiguous()
        y = torch.empty(len(x), layer.num_outputs)
        with record_function("nllb::int8_linear"):
            self._linear(layer, x.data_ptr(), len(x), y.data_ptr())
        return y

    def encode(self, sources: Sources) -> None:
        """Run the encoder's layers on `sources.rows.hidden`, in its place."""
        with record_function("nllb::encode"):
            self._encode(sources)

    def decoder_step(self, step: Step) -> None:
        """Run the decoder's layers on `step.rows.hidden`, in its place."""
        with record_function("nllb::decoder_step"):
            self._step(step)

    def best(self, scores: Tensor, excluded: tuple[list[int], list[int]], number: int) -> tuple[Tensor, Tensor]:
        """Return the log-probabilities and columns, `[rows, number]` each, of each row's best scores, best first.

        Args:
            scores: `[rows, columns]`, contiguous, in float32; what is excluded is overwritten.
            excluded: Rows and columns of scores that count and are not chosen.
            number: At least 1; what there is not is `-inf`.
        """
        rows, columns = (torch.tensor(indices, dtype=torch.int64) for indices in excluded)
        log_probs = torch.empty(len(scores), number)
        chosen = torch.empty(len(scores), number, dtype=torch.int64)
        with record_function("nllb::best"):
            self._best(
                *(scores.data_ptr(), *scores.shape),
                *(rows.data_ptr(), columns.data_ptr(), len(rows)),
                *(number, log_probs.data_ptr(), chosen.data_ptr()),
            )
        return log_probs, chosen


@cache
def loaded() -> Kernels | None:
    """Return the kernels; None if the processor has no AVX-512 with VNNI, or they were not built."""
    if not (torch.cpu._is_avx512_supported() and torch.cpu._is_vnni_supported()):
        return None
    try:
        kernels = Kernels(ctypes.CDLL(str(library_file())))
    except OSError as error:
        _LOGGER.warning(
            "int8 is slower than this processor allows: its kernels cannot be loaded (%s); "
            "python -m pipelines.engine.kernels.build builds them",
            error,
        )
        return None
    _LOGGER.info("int8 is computed by kernels with %s", "AMX" if kernels.has_tiles else "AVX-512 VNNI")
    return kernels


def _function(library: ctypes.CDLL, name: str, *arguments: Any) -> Callable[..., None]:
    function: Any = getattr(library, name)
    function.argtypes, function.restype = arguments, None
    called: Callable[..., None] = function
    return called
