"""Tiny adapters with random weights, saved by peft itself, and what peft alone makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import M2M100ForConditionalGeneration

ATTENTION = ("q_proj", "k_proj", "v_proj", "out_proj")
FEED_FORWARD = ("fc1", "fc2")


def make_tiny_adapter(path: Path, checkpoint: Path, *, seed: int = 0, loudness: float = 0.5, **config: Any) -> Path:
    """Save an adapter for a checkpoint into a folder, and return it.

    Args:
        path: The folder.
        checkpoint: Of the base model.
        seed: Of the weights.
        loudness: Standard deviation of both factors; outputs differ from the base model's from about 0.2 on.
        config: Of `LoraConfig`, such as `r`, `lora_alpha`, `target_modules`.
    """
    base = M2M100ForConditionalGeneration.from_pretrained(checkpoint)
    model = get_peft_model(base, LoraConfig(task_type="SEQ_2_SEQ_LM", **{"target_modules": list(ATTENTION), **config}))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_magnitude" in name:  # the lengths of the base model's weights
                parameter.mul_(1 + loudness * torch.randn(parameter.shape, generator=generator))
            elif "lora_" in name:
                parameter.normal_(0.0, loudness, generator=generator)
    model.save_pretrained(path)
    return path


def load_alone(path: Path, checkpoint: Path) -> PeftModel:
    """Load a base model with one adapter, as peft serves it."""
    base = M2M100ForConditionalGeneration.from_pretrained(checkpoint)
    return PeftModel.from_pretrained(base, path).eval()
