"""The model that is trained: all of it, or LoRA layers on a frozen base. What it weighs, and how it is saved.

Knows no data and no optimiser.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, prepare_model_for_kbit_training
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import BitsAndBytesConfig, M2M100ForConditionalGeneration

from pipelines.engine.adapter_config import CONFIG_FILE, WEIGHTS_FILE
from pipelines.engine.checkpoint import DESCRIPTIVE_FILES
from train.job import ModelPlan


def load_trainable(checkpoint: Path, plan: ModelPlan) -> nn.Module:
    """Load a checkpoint's model, ready to be trained on the device that it is moved to."""
    options: dict[str, Any] = {"dtype": torch.float32 if plan.lora is None else plan.dtype}
    if plan.quantize:
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=plan.dtype
        )
    # Dropping layers by chance would leave gradients missing on some workers and not on others.
    model = M2M100ForConditionalGeneration.from_pretrained(
        checkpoint, encoder_layerdrop=0.0, decoder_layerdrop=0.0, **options
    )
    if plan.quantize:
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    if plan.gradient_checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
    if plan.lora is None:
        return model
    torch.manual_seed(plan.seed)
    config = LoraConfig(
        r=plan.lora.r,
        lora_alpha=plan.lora.alpha,
        lora_dropout=plan.lora.dropout,
        target_modules=list(plan.lora.targets),
        use_dora=plan.lora.use_dora,
        task_type="SEQ_2_SEQ_LM",
    )
    return get_peft_model(model, config)


def base_model(model: nn.Module) -> Any:
    """Return the M2M100 model, LoRA layers in it or not."""
    return model.get_base_model() if hasattr(model, "peft_config") else model


def set_evaluating(model: nn.Module) -> None:
    """Switch dropout off."""
    model.eval()
    for module in model.modules():
        # bitsandbytes repacks a layer that is evaluated on a CPU, and what is repacked cannot be trained any more.
        if type(module).__module__.startswith("bitsandbytes"):
            module.training = True


def trained_weights(model: nn.Module) -> dict[str, Tensor]:
    """Return the weights that training changes, by name."""
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


@torch.no_grad()
def set_weights(model: nn.Module, weights: dict[str, Tensor]) -> None:
    """Set the trained weights to values that `trained_weights` had."""
    for name, weight in trained_weights(model).items():
        weight.copy_(weights[name])


def save_weights(weights: dict[str, Tensor], file: Path) -> None:
    """Write weights to a safetensors file."""
    save_file({name: weight.detach().cpu().contiguous() for name, weight in weights.items()}, file)


def load_weights(file: Path) -> dict[str, Tensor]:
    """Read what `save_weights` wrote."""
    return load_file(file)


def save_model(model: nn.Module, checkpoint: Path, folder: Path, *, base_name: str) -> None:
    """Write what is served: an adapter in peft's form, or a whole checkpoint with its tokenizer.

    Args:
        model: After training.
        checkpoint: The folder that it was loaded from.
        folder: Is made.
        base_name: What the checkpoint is called.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not hasattr(model, "peft_config"):
        dtype = json.loads((checkpoint / "config.json").read_text(encoding="utf-8")).get("dtype") or "float32"
        model.to(getattr(torch, dtype)).save_pretrained(folder)
        share_weights(folder / "config.json")
        for name in (*DESCRIPTIVE_FILES, "README.md"):
            if name != "config.json" and (checkpoint / name).is_file():
                shutil.copy(checkpoint / name, folder)
        return
    config = model.peft_config["default"]
    config.base_model_name_or_path, config.inference_mode = base_name, True
    config.save_pretrained(folder)
    # False: otherwise peft asks the model hub for the base model's vocabulary, to see whether it was changed.
    weights = get_peft_model_state_dict(model, save_embedding_layers=False)
    save_weights(weights, folder / WEIGHTS_FILE)
    share_weights(folder / CONFIG_FILE)


def share_weights(config: Path) -> None:
    """Let whoever may read a configuration read the weights beside it: servers often run as another user than training.

    safetensors makes files that only their owner may read.
    """
    for file in config.parent.glob("*.safetensors"):
        shutil.copymode(config, file)
