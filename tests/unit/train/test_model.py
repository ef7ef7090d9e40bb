"""What is trained is what was asked for, and what is saved is what is served."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest
import torch

from configs.schema import LoraSettings
from configs.schema.training import AdaptableLayer
from pipelines import load_translator
from pipelines.adapters.checks import check_folder
from pipelines.adapters.manifest import FILES
from pipelines.engine.weights import LINEARS
from tests.adapter_files import draft
from tests.tiny_model import make_tiny_checkpoint
from train.job import ModelPlan
from train.model import load_trainable, load_weights, save_model, save_weights, set_weights, trained_weights

TEXT, LANGUAGES = "Hello my friend, how much is it?", {"source_lang": "eng_Latn", "target_lang": "hin_Deva"}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model's folder."""
    return make_tiny_checkpoint(tmp_path_factory.mktemp("model"))


def test_an_adapter_leaves_the_base_model_alone(checkpoint: Path) -> None:
    """Only the low-rank weights of the named layers are trained, in both kinds of attention."""
    model = load_trainable(checkpoint, ModelPlan(lora=LoraSettings(r=4, targets=("q_proj",)), seed=1))
    names = trained_weights(model)
    assert len(names) == 2 * (2 + 2 * 2)  # two matrices, in two encoder layers and twice in two decoder layers
    assert all("lora_" in name and "q_proj" in name for name in names)


def test_the_seed_decides_the_new_weights(checkpoint: Path) -> None:
    """Equal seeds, equal adapters, whatever was drawn before."""
    plans = [ModelPlan(lora=LoraSettings(r=4), seed=seed) for seed in (1, 1, 2)]
    first, again, other = ([*trained_weights(load_trainable(checkpoint, plan)).values()] for plan in plans)
    assert all(map(torch.equal, first, again))
    assert not all(map(torch.equal, first, other))


def test_each_layer_that_may_be_named_is_one_that_the_service_adapts() -> None:
    """And the other way round: what is trained can be published."""
    modules = {module for side in LINEARS.values() for stacked in side.values() for module in stacked}
    assert {module.rpartition(".")[2] for module in modules} == set(get_args(AdaptableLayer))


def test_weights_survive_a_file(checkpoint: Path, tmp_path: Path) -> None:
    """To the bit."""
    plan = ModelPlan(lora=LoraSettings(r=4), seed=1)
    model = load_trainable(checkpoint, plan)
    save_weights(trained_weights(model), tmp_path / "weights.safetensors")
    other = load_trainable(checkpoint, ModelPlan(lora=LoraSettings(r=4), seed=2))
    set_weights(other, load_weights(tmp_path / "weights.safetensors"))
    assert all(map(torch.equal, trained_weights(model).values(), trained_weights(other).values()))


@pytest.mark.parametrize("use_dora", [False, True], ids=["lora", "dora"])
def test_an_adapter_is_saved_as_the_registry_takes_it(checkpoint: Path, tmp_path: Path, use_dora: bool) -> None:
    """Two files in peft's format, which say what the adapter is for."""
    lora = LoraSettings(r=4, alpha=8, use_dora=use_dora)
    save_model(load_trainable(checkpoint, ModelPlan(lora=lora)), checkpoint, tmp_path, base_name="tiny")
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(FILES)
    assert len({file.stat().st_mode for file in tmp_path.iterdir()}) == 1, "whoever may read one may read the other"
    check_folder(tmp_path, draft(rank=4, alpha=8, targets=lora.targets))
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["r"], config["lora_alpha"]) == ("tiny", 4, 8)


def test_a_whole_model_is_saved_as_a_checkpoint_that_is_served(checkpoint: Path, tmp_path: Path) -> None:
    """Unchanged weights translate as before; changed ones otherwise."""
    model = load_trainable(checkpoint, ModelPlan(lora=None))
    save_model(model, checkpoint, tmp_path / "same", base_name="tiny")
    modes = {file.name: file.stat().st_mode for file in (tmp_path / "same").iterdir()}
    assert modes["model.safetensors"] == modes["config.json"], "whoever may read one may read the other"
    with torch.no_grad():
        for weight in trained_weights(model).values():
            weight.add_(torch.randn_like(weight))
    save_model(model, checkpoint, tmp_path / "changed", base_name="tiny")
    outputs = []
    for folder in (checkpoint, tmp_path / "same", tmp_path / "changed"):
        with load_translator(str(folder)) as translator:
            outputs.append(translator.translate(TEXT, **LANGUAGES))
    assert outputs[0] == outputs[1] != outputs[2]
