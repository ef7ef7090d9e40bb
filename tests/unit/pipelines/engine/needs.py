"""What some tests need of the machine."""

from __future__ import annotations

import pytest

from pipelines.engine.kernels.functions import loaded

needs_kernels = pytest.mark.skipif(loaded() is None, reason="needs AVX-512 with VNNI, and a compiler")
