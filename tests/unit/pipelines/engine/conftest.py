"""A tiny checkpoint on disk, shared by the tests that only read it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tiny_model import make_tiny_checkpoint


@pytest.fixture(scope="session")
def checkpoint_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a checkpoint with 202 languages that reads at most 64 tokens."""
    return make_tiny_checkpoint(tmp_path_factory.mktemp("checkpoint"))
