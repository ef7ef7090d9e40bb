"""What some tests need of the machine."""

from __future__ import annotations

import pytest

from pipelines.engine.kernels.functions import Kernels, loaded

needs_kernels = pytest.mark.skipif(loaded() is None, reason="needs AVX-512 with VNNI, and a compiler")


def kernels() -> Kernels:
    """Return those of this machine, in a test that needs them."""
    of_machine = loaded()
    assert of_machine is not None
    return of_machine
