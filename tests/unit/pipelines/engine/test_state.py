"""The engine's own form of a checkpoint on disk: written once, readable by anyone, harmless if it cannot be."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import M2M100Config

from pipelines.engine.checkpoint import cache_folder, locate_checkpoint
from pipelines.engine.int8 import Int8Backend
from pipelines.engine.linear import Backend, DenseBackend
from pipelines.engine.shape import ModelShape
from pipelines.engine.state import load_prepared
from pipelines.errors import StartupError

_NOBODY = 65534
_SHARED = "model.shared.weight"
_OF_ENCODER = "model.encoder.embed_tokens.weight"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the files away from the home folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def load(checkpoint_path: Path, backend: Backend | None = None) -> dict[str, torch.Tensor]:
    """Prepare the tiny checkpoint, in int8 from the cache if it is there."""
    shape = ModelShape.from_config(M2M100Config.from_pretrained(checkpoint_path))
    return dict(load_prepared(locate_checkpoint(str(checkpoint_path)), shape, backend or Int8Backend(None)))


def cached_file() -> Path:
    """Return the one that there is."""
    (file,) = (cache_folder() / "weights").iterdir()
    return file


def changed(checkpoint_path: Path, folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> Path:
    """Copy a checkpoint and change its tensors."""
    copy = Path(shutil.copytree(checkpoint_path, folder / "changed"))
    tensors = load_file(copy / "model.safetensors")
    change(tensors)
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    return copy


def assert_equal(actual: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    """Compare all tensors that are not there for their length."""
    assert all(torch.equal(actual[name], tensor) for name, tensor in expected.items() if not name.startswith("hole."))


def test_the_file_is_safetensors_and_holds_what_was_prepared(checkpoint_path: Path) -> None:
    """Another reader sees the same tensors, and the second start reads them unchanged."""
    first = load(checkpoint_path)
    written = load_file(cached_file())
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


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:100],
        lambda content: content[: len(content) // 2],
        lambda content: content[:-5],
        lambda content: content + b"more",
        lambda content: bytes(len(content)),
    ],
    ids=["empty", "start", "half", "short", "long", "zeros"],
)
def test_a_damaged_file_is_made_anew(
    checkpoint_path: Path, damage: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    """With a warning, once: the next start reads what is whole again."""
    expected = load(checkpoint_path)
    file = cached_file()
    whole = file.read_bytes()
    file.unlink()  # not in its place: `expected` is what it holds
    file.write_bytes(damage(whole))
    assert_equal(load(checkpoint_path), expected)
    assert "are rebuilt" in caplog.text
    assert file.read_bytes() == whole
    caplog.clear()
    load(checkpoint_path)
    assert not caplog.text


def test_any_user_may_read_the_file(checkpoint_path: Path) -> None:
    """Several may share a cache."""
    load(checkpoint_path)
    assert stat.S_IMODE(cached_file().stat().st_mode) == 0o644


@pytest.mark.parametrize("may_write", [True, False])
def test_a_file_that_may_not_be_read_is_no_hindrance(
    checkpoint_path: Path, monkeypatch: pytest.MonkeyPatch, may_write: bool
) -> None:
    """It is replaced where that is allowed, and done without where it is not."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder, readable = Path(name), Path(name, "checkpoint")
        shutil.copytree(checkpoint_path, readable)
        monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        expected = load(readable)
        file = cached_file()
        file.chmod(0)
        for path in (folder, readable, *readable.iterdir(), *file.parents[:3]):
            path.chmod(0o755)
        file.parent.chmod(0o777 if may_write else 0o555)
        stack.callback(file.parent.chmod, 0o777)
        if os.geteuid() == 0:
            stack.callback(os.seteuid, 0)
            os.seteuid(_NOBODY)
        assert_equal(load(readable), expected)
        assert os.access(file, os.R_OK, effective_ids=True) == may_write


def test_what_a_killed_start_left_is_removed(checkpoint_path: Path) -> None:
    """By the next one that keeps weights; a draft that may still be written stays."""
    folder = cache_folder() / "weights"
    folder.mkdir(parents=True)
    abandoned, written = folder / "tmp1.draft", folder / "tmp2.draft"
    for draft in (abandoned, written):
        draft.write_bytes(b"half")
    os.utime(abandoned, (0, 0))
    load(checkpoint_path)
    assert not abandoned.exists()
    assert written.exists()


@pytest.mark.parametrize("backend", [Int8Backend(None), DenseBackend()])
@pytest.mark.parametrize("side", ["encoder", "decoder"])
def test_untied_embeddings_are_refused(checkpoint_path: Path, tmp_path: Path, side: str, backend: Backend) -> None:
    """An encoder or decoder with an embedding of its own would be given the shared one, and translate wrongly."""
    name = f"model.{side}.embed_tokens.weight"
    untied = changed(checkpoint_path, tmp_path, lambda tensors: tensors.update({name: tensors[_SHARED] * 2}))
    with pytest.raises(StartupError, match=rf"untied embeddings: {name} differs .* set model.engine to transformers"):
        load(untied, backend)


def test_a_start_from_the_cache_does_not_read_the_checkpoint(checkpoint_path: Path, tmp_path: Path) -> None:
    """What was asked of it when its weights were rounded is not asked again: it may have gigabytes."""
    checkpoint = locate_checkpoint(str(changed(checkpoint_path, tmp_path, lambda tensors: None)))
    shape = ModelShape.from_config(M2M100Config.from_pretrained(checkpoint.path))
    first = dict(load_prepared(checkpoint, shape, Int8Backend(None)))
    (checkpoint.path / "model.safetensors").unlink()
    assert_equal(dict(load_prepared(checkpoint, shape, Int8Backend(None))), first)


def test_copies_of_the_shared_embedding_are_accepted(checkpoint_path: Path, tmp_path: Path) -> None:
    """Many checkpoints have it again as the encoder's and the decoder's."""
    copied = changed(checkpoint_path, tmp_path, lambda tensors: tensors.update({_OF_ENCODER: tensors[_SHARED].clone()}))
    assert_equal(load(copied), load(checkpoint_path))
    pickled = Path(shutil.copytree(checkpoint_path, tmp_path / "pickled"))
    tensors = load_file(pickled / "model.safetensors")
    torch.save(tensors | {_OF_ENCODER: tensors[_SHARED]}, pickled / "pytorch_model.bin")
    (pickled / "model.safetensors").unlink()
    assert_equal(load(pickled), load(checkpoint_path))


def test_a_missing_tensor_is_named(checkpoint_path: Path, tmp_path: Path) -> None:
    """And the checkpoint that should have it."""
    name = "model.decoder.layers.1.fc1.bias"
    lacking = changed(checkpoint_path, tmp_path, lambda tensors: tensors.pop(name))
    with pytest.raises(StartupError, match=rf"{lacking} has no tensor '{name}'"):
        load(lacking)
