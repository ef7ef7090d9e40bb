"""A registry in a folder, and an adapter to publish."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.adapters import AdapterRegistry
from pipelines.breaker import CircuitBreaker
from tests.adapter_files import write_adapter


@pytest.fixture
def registry(tmp_path: Path) -> AdapterRegistry:
    """An empty registry; while it is away it is probed at every turn."""
    return AdapterRegistry(str(tmp_path / "registry"), breaker=CircuitBreaker(cool_down_s=0))


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """A sound adapter."""
    return write_adapter(tmp_path / "adapter")
