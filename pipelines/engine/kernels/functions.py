"""The compiled kernels as functions over tensors; `loaded` returns them where this machine has them.

Calls let go of the GIL, and have the threads that `torch.set_num_threads` gave to their own.
"""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.profiler import record_function

from pipelines.engine.kernels.build import INSTRUCTIONS, library_file
from pipelines.engine.kernels.structures import Chosen, EncodedSources, Excluded, Int8Layer, Sources, Step

_LOGGER = logging.getLogger(__name__)
_NAMES = {"avx512": "AVX-512 VNNI", "avx_vnni": "AVX-VNNI", "avx2": "AVX2", "neon": "NEON"}
_OUTPUTS_TOGETHER = 32
_POINTER, _COUNT, _NUMBER = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32

Places = tuple[list[int], list[int]]
"""Rows and columns."""

WIDTH_MULTIPLE = 16
"""What the kernels read at once, and what a layer's inputs must be a multiple of."""


class Kernels:
    """The functions of a library.

    Args:
        instructions: One of those that are `usable`.

    Attributes:
        name: Of the instructions that multiply.
    """

    def __init__(self, instructions: str) -> None:
        _show_openmp()
        library = ctypes.CDLL(str(library_file(instructions)))
        self._pack = _function(library, "nllb_int8_pack", _POINTER, _COUNT, _COUNT, _NUMBER, _POINTER, _POINTER)
        self._linear = _function(library, "nllb_int8_linear", ctypes.POINTER(Int8Layer), _POINTER, _COUNT, _POINTER)
        self._encode = _function(library, "nllb_encode", ctypes.POINTER(Sources))
        self._cross_memory = _function(library, "nllb_cross_memory", ctypes.POINTER(EncodedSources))
        self._step = _function(library, "nllb_decoder_step", ctypes.POINTER(Step))
        excluded, chosen = ctypes.POINTER(Excluded), ctypes.POINTER(Chosen)
        self._best = _function(library, "nllb_best", _POINTER, _COUNT, _COUNT, excluded, chosen)
        product = [ctypes.POINTER(Int8Layer), _POINTER, _COUNT]
        self._best_of_product = _function(library, "nllb_best_of_product", *product, excluded, excluded, chosen)
        self.name = _NAMES[instructions]
        if instructions == "avx512" and torch.cpu._is_amx_tile_supported() and torch.cpu._init_amx():
            library.nllb_use_tiles()
            self.name = "AMX"

    def int8_pack(self, weight: Tensor, zero: int) -> tuple[Tensor, Tensor]:
        """Return `weight [out_features, in_features]` as a layer reads it, and what its activations' zero adds."""
        weight = weight.contiguous()
        num_outputs, num_inputs = weight.shape
        filled = -(-num_outputs // _OUTPUTS_TOGETHER) * _OUTPUTS_TOGETHER
        packed = torch.empty(filled, num_inputs, dtype=torch.int8)
        surplus = torch.empty(num_outputs, dtype=torch.int32)
        self._pack(weight.data_ptr(), num_outputs, num_inputs, zero, packed.data_ptr(), surplus.data_ptr())
        return packed, surplus

    def int8_linear(self, layer: Int8Layer, x: Tensor) -> Tensor:
        """Return `[rows, out_features]` of `x [rows, in_features]`, both in float32."""
        x = x.contiguous()
        y = torch.empty(len(x), layer.num_outputs)
        with record_function("nllb::int8_linear"):
            self._linear(layer, x.data_ptr(), len(x), y.data_ptr())
        return y

    def encode(self, sources: Sources) -> None:
        """Run the encoder's layers on `sources.tokens.rows.hidden`, in its place."""
        with record_function("nllb::encode"):
            self._encode(sources)

    def cross_memory(self, sources: EncodedSources) -> None:
        """Write what the decoder's layers attend to of `sources.tokens.rows.hidden` into `sources.memory`."""
        with record_function("nllb::cross_memory"):
            self._cross_memory(sources)

    def decoder_step(self, step: Step) -> None:
        """Run the decoder's layers on `step.rows.hidden`, in its place."""
        with record_function("nllb::decoder_step"):
            self._step(step)

    def best(self, scores: Tensor, excluded: Places, number: int) -> tuple[Tensor, Tensor]:
        """Return the log-probabilities and columns, `[rows, number]` each, of each row's best scores, best first.

        Args:
            scores: `[rows, columns]`, contiguous, in float32; what is excluded is overwritten.
            excluded: Scores that count and are not chosen.
            number: At least 1; what there is not is `-inf`.
        """
        left_out, chosen = _Excluded(excluded), _Chosen(len(scores), number)
        with record_function("nllb::best"):
            self._best(scores.data_ptr(), *scores.shape, left_out.structure, chosen.structure)
        return chosen.log_probs, chosen.columns

    def best_of_product(
        self, layer: Int8Layer, x: Tensor, forbidden: Places, excluded: Places, number: int
    ) -> tuple[Tensor, Tensor]:
        """Return what `best` returns of the scores that a layer gives to `x [rows, in_features]`.

        Args:
            layer: Whose outputs are the columns.
            x: In float32.
            forbidden: Scores that do not even count.
            excluded: As of `best`.
            number: As of `best`.
        """
        x = x.contiguous()
        uncounted, left_out, chosen = _Excluded(forbidden), _Excluded(excluded), _Chosen(len(x), number)
        with record_function("nllb::best_of_product"):
            self._best_of_product(
                layer, x.data_ptr(), len(x), uncounted.structure, left_out.structure, chosen.structure
            )
        return chosen.log_probs, chosen.columns


class _Excluded:
    """Places, and the memory they lie in."""

    def __init__(self, places: Places) -> None:
        self._rows, self._columns = (torch.tensor(indices, dtype=torch.int64) for indices in places)
        self.structure = Excluded(self._rows.data_ptr(), self._columns.data_ptr(), len(self._rows))


class _Chosen:
    """Memory for what is chosen."""

    def __init__(self, num_rows: int, number: int) -> None:
        self.log_probs = torch.empty(num_rows, number)
        self.columns = torch.empty(num_rows, number, dtype=torch.int64)
        self.structure = Chosen(number, self.log_probs.data_ptr(), self.columns.data_ptr())


@cache
def loaded() -> Kernels | None:
    """Return the best kernels for this processor that were built; None if there are none."""
    for instructions in usable():
        try:
            kernels = Kernels(instructions)
        except OSError as error:
            _LOGGER.warning(
                "int8 is slower than this processor allows: its kernels cannot be loaded (%s); "
                "python -m pipelines.engine.kernels.build --force builds them",
                error,
            )
        else:
            _LOGGER.info("int8 is computed by kernels with %s", kernels.name)
            return kernels
    return None


def usable() -> list[str]:
    """Return which instructions this processor has, best first, as far as `ATEN_CPU_CAPABILITY` lets torch use it."""
    allowed = torch.backends.cpu.get_cpu_capability()
    has = torch.cpu.get_capabilities()
    can_use = {
        "avx512": allowed == "AVX512" and has.get("avx512_vnni"),
        "avx_vnni": allowed in ("AVX512", "AVX2") and has.get("avx_vnni"),
        "avx2": allowed in ("AVX512", "AVX2"),
        "neon": has.get("dot"),
    }
    return [instructions for instructions, it_can in can_use.items() if it_can and instructions in INSTRUCTIONS]


def _show_openmp() -> None:
    """Let the library find the OpenMP that torch has loaded: torch for Arm keeps it to itself."""
    mappings = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    for file in {
        mapping.split(maxsplit=5)[-1] for mapping in mappings
    }:  # five columns, then a path that may have blanks
        if "/torch" in file and "/libgomp" in file:
            ctypes.CDLL(file, ctypes.RTLD_GLOBAL)


def _function(library: ctypes.CDLL, name: str, *arguments: Any) -> Callable[..., None]:
    function: Any = getattr(library, name)
    function.argtypes, function.restype = arguments, None
    called: Callable[..., None] = function
    return called
