"""Checkpoints: found, told apart by content, and refused with a way out."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest

from pipelines.engine import checkpoint as checkpoint_module
from pipelines.engine.checkpoint import locate_checkpoint
from pipelines.errors import StartupError

_NOBODY = 65534
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep remembered hashes away from the home folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def copy(checkpoint_path: Path, tmp_path: Path) -> Path:
    """Return a checkpoint that a test may damage."""
    return Path(shutil.copytree(checkpoint_path, tmp_path / "copy"))


def test_revision_is_of_the_content(checkpoint_path: Path, copy: Path) -> None:
    """Equal files in another folder have the same revision, other weights another one, at every start."""
    original = locate_checkpoint(str(checkpoint_path))
    assert locate_checkpoint(str(copy)).revision == original.revision
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    changed = locate_checkpoint(str(copy)).revision
    assert changed != original.revision
    assert locate_checkpoint(str(copy)).revision == changed
    assert original.path == checkpoint_path


def test_hashes_are_remembered(checkpoint_path: Path, own_cache: Path) -> None:
    """What the start hashed is kept for the next one; a cache that cannot be written costs only time."""
    revision = locate_checkpoint(str(checkpoint_path)).revision
    assert len(list((own_cache / "nllb-ray" / "hashes").iterdir())) == len(list(checkpoint_path.iterdir())) - 1
    assert locate_checkpoint(str(checkpoint_path)).revision == revision
    shutil.rmtree(own_cache)
    own_cache.write_text("a file where the folder should be")
    assert locate_checkpoint(str(checkpoint_path)).revision == revision


@pytest.mark.parametrize("content", [b"", bytes(32), b"\xff" * 32, b"0123"])
def test_what_is_no_hash_is_not_taken_for_one(checkpoint_path: Path, own_cache: Path, content: bytes) -> None:
    """Or checkpoints would have the same revision once a power cut has emptied what was remembered."""
    revision = locate_checkpoint(str(checkpoint_path)).revision
    for remembered in (own_cache / "nllb-ray" / "hashes").iterdir():
        remembered.write_bytes(content)
    assert locate_checkpoint(str(checkpoint_path)).revision == revision


def test_demo_model_says_how_to_build_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the demo model the error names the commands that make it."""
    monkeypatch.setattr(checkpoint_module, "DEMO_MODEL", tmp_path / "nothing")
    with pytest.raises(StartupError, match=r"`make serve` or `python -m train.demo`"):
        locate_checkpoint("demo")


def test_demo_model_is_an_ordinary_checkpoint(checkpoint_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once built, `demo` is loaded as any folder is."""
    monkeypatch.setattr(checkpoint_module, "DEMO_MODEL", checkpoint_path)
    found = locate_checkpoint("demo")
    assert (found.name, found.path) == ("demo", checkpoint_path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: (path / "config.json").unlink(), "no config.json that names a model_type"),
        (lambda path: (path / "config.json").write_text("{"), "no config.json that names a model_type"),
        (lambda path: (path / "config.json").write_text("[]"), "no config.json that names a model_type"),
        (lambda path: (path / "config.json").write_text('{"model_type": "nllb-moe"}'), "'nllb-moe'; accepted is"),
        (lambda path: (path / "tokenizer.json").unlink(), "no tokenizer: expected tokenizer.json or"),
        (lambda path: (path / "model.safetensors").unlink(), "incomplete: model.safetensors not found"),
    ],
)
def test_unusable_folder(copy: Path, damage: object, message: str) -> None:
    """A folder that is no checkpoint, another architecture's or incomplete is refused before anything is loaded."""
    damage(copy)  # type: ignore[operator]
    with pytest.raises(StartupError, match=message):
        locate_checkpoint(str(copy))


@pytest.mark.parametrize("name", [".", "model.safetensors"])
def test_files_of_another_user(checkpoint_path: Path, name: str) -> None:
    """What may not be read is named, and who would have to."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        copy = Path(shutil.copytree(checkpoint_path, Path(folder, "copy")))
        for readable in (Path(folder), copy):
            readable.chmod(0o755)
        (copy / name).chmod(0)
        if os.geteuid() == 0:
            stack.callback(os.seteuid, 0)
            os.seteuid(_NOBODY)
        with pytest.raises(StartupError, match=rf"user {os.geteuid()}, .*, may not read {copy / name};"):
            locate_checkpoint(str(copy))


def test_missing_shard(copy: Path) -> None:
    """Of weights in several files, the missing ones are named."""
    (copy / "model.safetensors").rename(copy / "model-00001-of-00002.safetensors")
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (copy / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(StartupError, match=r"incomplete: model-00002-of-00002.safetensors not found"):
        locate_checkpoint(str(copy))


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: mit\n---\n# A model\n", "mit"),
        ("---\nlicense: other\nlicense_name: my-terms\n---\n", "my-terms"),
        ("---\nlicense: [\n---\n", "unknown"),
        ("# A model\n", "unknown"),
        (None, "unknown"),
    ],
)
def test_licence_of_the_model_card(copy: Path, card: str | None, licence: str) -> None:
    """The licence is what the card's front matter says; no card, no claim."""
    if card is not None:
        (copy / "README.md").write_text(card)
    assert locate_checkpoint(str(copy)).licence == licence


def test_licence_of_an_nllb_fine_tune(copy: Path) -> None:
    """What was made from NLLB-200 carries NLLB's licence, whatever its card says."""
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"_name_or_path": "facebook/nllb-200-1.3B"}))
    assert locate_checkpoint(str(copy)).licence == "CC-BY-NC-4.0"


def test_offline_without_a_download() -> None:
    """A model that was never downloaded: the error says how to get it here."""
    with pytest.raises(StartupError, match=r"offline.*`hf download a/b --revision v1`.*HF_HOME.*path of a folder"):
        locate_checkpoint("a/b", revision="v1", offline=True)


def test_no_folder_and_no_name() -> None:
    """A misspelt path is not taken for a name on the hub."""
    with pytest.raises(StartupError, match=r"'/no/such/folder' is not a folder on this machine"):
        locate_checkpoint("/no/such/folder")


@pytest.mark.parametrize("weights", ["model.safetensors", "pytorch_model.bin"])
def test_downloaded_snapshot(checkpoint_path: Path, tmp_path: Path, weights: str) -> None:
    """What the hub's client downloaded before is found offline, with its commit as revision, without torch."""
    repository = tmp_path / "hub" / "models--someone--tiny"
    snapshot = repository / "snapshots" / COMMIT
    shutil.copytree(checkpoint_path, snapshot)
    (snapshot / "model.safetensors").rename(snapshot / weights)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    code = (
        "import sys; from pipelines.engine.checkpoint import locate_checkpoint\n"
        "found = locate_checkpoint('someone/tiny', offline=True)\n"
        "print(found.revision, found.path, 'torch' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"HF_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.split() == [COMMIT, str(snapshot), "False"]
