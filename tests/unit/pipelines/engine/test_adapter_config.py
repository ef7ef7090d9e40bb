"""`adapter_config.json`: what is understood is understood as peft does, everything else is refused with a reason."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from pipelines.engine.adapter_config import CONFIG_FILE, WEIGHTS_FILE, read_adapter_config
from pipelines.errors import InvalidAdapterError

# As peft 0.21.2 writes it for LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="SEQ_2_SEQ_LM").
WRITTEN_BY_PEFT: dict[str, Any] = {
    "alora_invocation_tokens": None,
    "alpha_pattern": {},
    "arrow_config": None,
    "auto_mapping": None,
    "base_model_name_or_path": "facebook/nllb-200-distilled-600M",
    "bias": "none",
    "corda_config": None,
    "ensure_weight_tying": False,
    "eva_config": None,
    "exclude_modules": None,
    "fan_in_fan_out": False,
    "inference_mode": True,
    "init_lora_weights": True,
    "kasa_config": None,
    "layer_replication": None,
    "layers_pattern": None,
    "layers_to_transform": None,
    "loftq_config": {},
    "lora_alpha": 8,
    "lora_bias": False,
    "lora_dropout": 0.05,
    "lora_ga_config": None,
    "megatron_config": None,
    "megatron_core": "megatron.core",
    "modules_to_save": None,
    "monteclora_config": None,
    "peft_type": "LORA",
    "peft_version": "0.21.2",
    "qalora_group_size": 16,
    "r": 4,
    "rank_pattern": {},
    "revision": None,
    "target_modules": ["v_proj", "q_proj"],
    "target_parameters": None,
    "task_type": "SEQ_2_SEQ_LM",
    "trainable_token_indices": None,
    "use_bdlora": None,
    "use_dora": False,
    "use_qalora": False,
    "use_rslora": False,
    "velora_config": None,
}


def write(folder: Path, **settings: Any) -> Path:
    """Write a configuration with other settings, and a weights file that only has to be there."""
    (folder / CONFIG_FILE).write_text(json.dumps({**WRITTEN_BY_PEFT, **settings}), encoding="utf-8")
    (folder / WEIGHTS_FILE).touch()
    return folder


def test_scales_are_those_of_peft(tmp_path: Path) -> None:
    """A scale is alpha / r, and alpha / sqrt(r) with rsLoRA; patterns name modules by their ends, the first counts."""
    patterns: dict[str, Any] = {
        "rank_pattern": {"encoder_attn.q_proj": 16, "q_proj": 2},
        "alpha_pattern": {"model.encoder.layers.0.fc1": 3},
    }
    plain = read_adapter_config(write(tmp_path, **patterns))
    assert plain.rank_of("model.encoder.layers.0.self_attn.q_proj") == 2
    assert plain.rank_of("model.decoder.layers.0.encoder_attn.q_proj") == 16
    assert plain.rank_of("model.encoder.layers.0.fc1") == 4
    assert plain.scale_of("model.encoder.layers.0.self_attn.q_proj") == 8 / 2
    assert plain.scale_of("model.encoder.layers.0.fc1") == 3 / 4
    assert plain.scale_of("model.encoder.layers.10.fc1") == 8 / 4
    rslora = read_adapter_config(write(tmp_path, use_rslora=True, **patterns))
    assert rslora.scale_of("model.decoder.layers.0.encoder_attn.q_proj") == 8 / math.sqrt(16)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"peft_type": "IA3"}, "peft_type is 'IA3'; accepted is 'LORA'"),
        ({"task_type": "CAUSAL_LM"}, "task_type is 'CAUSAL_LM'; accepted is 'SEQ_2_SEQ_LM'"),
        ({"auto_mapping": {"base_model_class": "BartModel"}}, "BartModel; accepted is M2M100ForConditionalGeneration"),
        ({"r": 0}, "r: Input should be greater than or equal to 1, got 0"),
        ({"r": "8"}, "r: Input should be a valid integer, got '8'"),
        ({"lora_alpha": math.nan}, "lora_alpha: Input should be a finite number"),
        ({"rank_pattern": {"q_proj": -1}}, "rank_pattern.q_proj: Input should be greater than or equal to 1"),
        ({"rank_pattern": {".*(q|k)_proj": 4}}, "accepted are module names or their ends, such as q_proj"),
        ({"bias": "lora_only"}, "bias is 'lora_only'; biases are not applied row by row"),
        ({"lora_bias": True}, "lora_bias is True; biases are not applied row by row"),
        ({"fan_in_fan_out": True}, "fan_in_fan_out is true"),
        ({"modules_to_save": ["lm_head"]}, r"modules_to_save is \['lm_head'\]; whole trained modules"),
        ({"trainable_token_indices": [3]}, "trainable_token_indices is"),
        ({"use_dora": 1}, "use_dora: Input should be a valid boolean, got 1"),
        ({"init_lora_weights": "pissa_niter_4"}, "init_lora_weights is 'pissa_niter_4', which changes the base"),
        ({"init_lora_weights": "loftq"}, "changes the base weights"),
        ({"layer_replication": [[0, 4]]}, "layer_replication is .* this setting is not supported"),
        ({"a_setting_of_tomorrow": 1}, "a_setting_of_tomorrow is 1; this setting is not supported"),
    ],
)
def test_what_rows_cannot_have_is_refused_with_its_reason(
    tmp_path: Path, settings: dict[str, Any], reason: str
) -> None:
    """The message names the file, the key, its value and what is accepted."""
    with pytest.raises(InvalidAdapterError, match=rf"^{CONFIG_FILE}: .*{reason}") as refused:
        read_adapter_config(write(tmp_path, **settings))
    assert refused.value.field == CONFIG_FILE


@pytest.mark.parametrize("start", [True, False, "gaussian", "eva", "orthogonal", "mica"])
def test_how_training_began_does_not_matter(tmp_path: Path, start: bool | str) -> None:
    """Where it left the base weights alone, the trained matrices say everything."""
    assert read_adapter_config(write(tmp_path, init_lora_weights=start)).rank == 4


def test_missing_and_damaged_files_are_named(tmp_path: Path) -> None:
    """Absent or pickled weights; a configuration that is absent, no JSON, no object, incomplete, or huge."""
    with pytest.raises(InvalidAdapterError, match=f"the adapter has no {WEIGHTS_FILE}$"):
        read_adapter_config(tmp_path)
    (tmp_path / "adapter_model.bin").touch()
    with pytest.raises(InvalidAdapterError, match="is pickled and never read"):
        read_adapter_config(tmp_path)
    (tmp_path / WEIGHTS_FILE).touch()
    with pytest.raises(InvalidAdapterError, match=f"{CONFIG_FILE}: cannot be read: No such file"):
        read_adapter_config(tmp_path)
    for content, reason in (
        ("{", "Invalid JSON"),
        ("[1]", "Input should be an object"),
        ('{"peft_type": "LORA", "lora_alpha": 8}', "r: Field required"),
        (" " * (1 << 21), "has over 1048576 bytes"),
    ):
        (tmp_path / CONFIG_FILE).write_text(content, encoding="utf-8")
        with pytest.raises(InvalidAdapterError, match=f"^{CONFIG_FILE}: .*{reason}"):
            read_adapter_config(tmp_path)
