"""What is to be trained, as it travels to the workers. Loads neither Ray nor transformers, which take seconds."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from configs.schema import LoraSettings, TrainingSettings
from train.data.check import DataReport, DataSource


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """How the model is trained.

    Attributes:
        lora: The adapter's shape; None trains every weight.
        quantize: `4bit` keeps a frozen base in NF4 (QLoRA, Dettmers et al. 2023).
        dtype: Of a frozen base's weights, which the worker knows; weights that are trained are float32.
        gradient_checkpointing: Compute activations twice to keep fewer of them.
        seed: Of new weights.
    """

    lora: LoraSettings | None
    quantize: str | None = None
    dtype: torch.dtype = torch.float32
    gradient_checkpointing: bool = False
    seed: int = 0


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """All that a worker needs to know.

    Attributes:
        settings: The course of training.
        plan: The model.
        peak_learning_rate: See `train.schedule`.
        data: The text; every worker reads it itself.
        report: What the check found in it.
        model: Name of the base model, which every worker's machine can load.
        model_revision: On the model hub, or None.
        offline: Whether the model hub is out of bounds.
        checkpoint_location: A path or URI that all workers reach.
        claim: What the command left there; see `CheckpointStore.claim`.
    """

    settings: TrainingSettings
    plan: ModelPlan
    peak_learning_rate: float
    data: DataSource
    report: DataReport
    model: str
    model_revision: str | None
    offline: bool
    checkpoint_location: str
    claim: str
