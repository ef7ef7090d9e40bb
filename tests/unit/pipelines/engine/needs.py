"""What some tests need of the machine."""

from __future__ import annotations

import pytest

from pipelines.engine.int8 import has_fbgemm
from pipelines.engine.kernels.build import library_file
from pipelines.engine.kernels.functions import WIDTH_MULTIPLE, Kernels, usable

KERNELS = [Kernels(instructions) for instructions in usable() if library_file(instructions).is_file()]
"""All that this machine can run, and not only the best: none without a compiler."""


with_each_kernels = pytest.mark.parametrize("kernels", KERNELS, ids=lambda kernels: kernels.name)


def require_int8(width: int) -> None:
    """Skip the test if no product of this processor takes so many inputs."""
    if width % WIDTH_MULTIPLE and not has_fbgemm():
        pytest.skip(f"no int8 product takes {width} inputs here")
