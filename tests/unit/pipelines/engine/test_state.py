"""The engine's own form of a checkpoint on disk: written once, readable by anyone, harmless if it cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import M2M100Config

from pipelines.engine.checkpoint import cache_folder, locate_checkpoint
from pipelines.engine.int8 import Int8Backend
from pipelines.engine.shape import ModelShape
from pipelines.engine.state import load_prepared


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the files away from the home folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def load(checkpoint_path: Path) -> dict[str, torch.Tensor]:
    """Prepare the tiny checkpoint in int8, from the cache if it is there."""
    shape = ModelShape.from_config(M2M100Config.from_pretrained(checkpoint_path))
    return dict(load_prepared(locate_checkpoint(str(checkpoint_path)), shape, Int8Backend(None)))


def test_the_file_is_safetensors_and_holds_what_was_prepared(checkpoint_path: Path) -> None:
    """Another reader sees the same tensors, and the second start reads them unchanged."""
    first = load(checkpoint_path)
    (file,) = (cache_folder() / "weights").iterdir()
    written = load_file(file)
    second = load(checkpoint_path)
    names = {name for name in written if not name.startswith("hole.")}
    assert names <= set(first)
    assert "lm_head.scale" in names
    for name in names:
        assert torch.equal(first[name], written[name])
        assert torch.equal(first[name], second[name])


def test_a_cache_that_cannot_be_written_costs_only_time(
    checkpoint_path: Path, own_cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The weights are there all the same, with a warning, and no half file is left."""
    expected = load(checkpoint_path)
    for file in (cache_folder() / "weights").iterdir():
        file.unlink()
    (cache_folder() / "weights").rmdir()
    (cache_folder() / "weights").write_text("a file where the folder should be")
    prepared = load(checkpoint_path)
    assert "cannot be kept" in caplog.text
    assert all(torch.equal(tensor, expected[name]) for name, tensor in prepared.items())
