"""What some tests need of the machine."""

from __future__ import annotations

import pytest

from pipelines.engine.kernels.build import library_file
from pipelines.engine.kernels.functions import Kernels, usable

KERNELS = [Kernels(instructions) for instructions in usable() if library_file(instructions).is_file()]
"""All that this machine can run, and not only the best: none without a compiler."""

with_each_kernels = pytest.mark.parametrize("kernels", KERNELS, ids=lambda kernels: kernels.name)
