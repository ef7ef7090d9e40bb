"""Adapters that were trained elsewhere: published by their files alone, if they fit the model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.adapters import AdapterRegistry
from pipelines.adapters.__main__ import main
from pipelines.engine.checkpoint import locate_checkpoint
from tests.tiny_adapter import make_tiny_adapter
from tests.tiny_model import make_tiny_checkpoint
from tests.unit.pipelines.engine.running import load

Publish = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model that the service runs."""
    return make_tiny_checkpoint(tmp_path_factory.mktemp("model"))


@pytest.fixture
def publish(tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> Publish:
    """Run the command; returns status, output and errors."""

    def run(
        folder: Path, *arguments: str, name: str = "medical", pair: str = "eng_Latn-hin_Deva"
    ) -> tuple[int, str, str]:
        places = ["--registry", str(tmp_path / "registry"), "--model", str(checkpoint)]
        capsys.readouterr()  # what peft said while it saved the adapter
        status = main(["publish", name, str(folder), "--pair", pair, *places, *arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.mark.parametrize("config", [{}, {"use_dora": True}, {"use_rslora": True, "target_modules": ["fc1", "v_proj"]}])
def test_what_peft_saved_is_published_and_served(
    publish: Publish, tmp_path: Path, checkpoint: Path, config: dict[str, object]
) -> None:
    """Its manifest says what the files say; the engine loads what the registry gives back."""
    folder = make_tiny_adapter(tmp_path / "adapter", checkpoint, r=4, lora_alpha=6, **config)
    status, out, _ = publish(folder, "--pair", "en-es")
    assert (status, out) == (
        0,
        f"medical@1 is published for {checkpoint}; `promote medical@1` serves it\n",
    )
    registry = AdapterRegistry(str(tmp_path / "registry"))
    manifest = registry.verify("medical", 1)
    assert (manifest.rank, manifest.alpha) == (4, 6)
    assert manifest.language_pairs == ("eng_Latn-hin_Deva", "eng_Latn-spa_Latn")
    assert manifest.base_revision == locate_checkpoint(str(checkpoint)).revision
    assert set(manifest.targets) == set(config.get("target_modules", ("q_proj", "k_proj", "v_proj", "out_proj")))  # type: ignore[call-overload]
    assert registry.alias("medical") is None
    engine = load(checkpoint)
    try:
        assert engine.load_adapter("medical@1", registry.fetch("medical", 1, tmp_path / "copies")).rank == 4
    finally:
        engine.close()


def test_a_script_reads_the_manifest(publish: Publish, tmp_path: Path, checkpoint: Path) -> None:
    """With `--json`, and nothing else on standard output."""
    _, out, _ = publish(make_tiny_adapter(tmp_path / "adapter", checkpoint, r=2), "--json")
    assert json.loads(out)["version"] == 1


def test_what_cannot_be_served_is_not_published(publish: Publish, tmp_path: Path, checkpoint: Path) -> None:
    """An adapter of another model, no adapter, odd names and pairs: one sentence each, and no version."""
    other = make_tiny_checkpoint(tmp_path / "other", d_model=32)
    unfit = make_tiny_adapter(tmp_path / "unfit", other, r=4)
    negative = make_tiny_adapter(tmp_path / "negative", checkpoint, lora_alpha=-1)
    adapter = make_tiny_adapter(tmp_path / "adapter", checkpoint)
    for folder, asked, message in (
        (unfit, {}, "32"),
        (negative, {}, "lora_alpha is -1; more than 0 is accepted"),
        (tmp_path / "none", {}, "has no adapter_model.safetensors"),
        (adapter, {"name": "No Name"}, "'No Name' is not accepted"),
        (adapter, {"pair": "eng_Latn"}, "--pair eng_Latn names one language"),
        (adapter, {"pair": "en-xx"}, "unknown language 'xx'"),
    ):
        status, out, err = publish(folder, **asked)
        assert (status, out) == (1, "")
        assert message in err
        assert len(err.splitlines()) == 1
    assert AdapterRegistry(str(tmp_path / "registry")).names() == []
