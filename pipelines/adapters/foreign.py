"""An adapter that was trained elsewhere: what its manifest says is read from its files, once it fits the base model."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from transformers import M2M100Config

from pipelines.adapters.checks import adapted_layers
from pipelines.adapters.manifest import ManifestDraft
from pipelines.engine.adapter_config import CONFIG_FILE, read_adapter_config
from pipelines.engine.adapter_weights import read_adapter
from pipelines.engine.checkpoint import Checkpoint
from pipelines.engine.shape import ModelShape
from pipelines.engine.state import checkpoint_tensors
from pipelines.errors import InvalidAdapterError, InvalidRequestError
from pipelines.text.languages import resolve_language


def draft_of(folder: Path, checkpoint: Checkpoint, pairs: Sequence[str]) -> ManifestDraft:
    """Return what is known of an adapter without its training; nobody measured it.

    Args:
        folder: In peft's format.
        checkpoint: Of the model that it is for.
        pairs: Languages that it was trained for, such as `eng_Latn-hin_Deva`.

    Raises:
        InvalidAdapterError: It is damaged, is not supported, or does not fit the model.
        InvalidRequestError: A pair is none, or of an unknown language.
        StartupError: The model's configuration cannot be read.
    """
    config = read_adapter_config(folder)
    read_adapter(
        folder,
        shape=ModelShape.from_config(M2M100Config.from_pretrained(checkpoint.path)),
        dtype=torch.float32,
        device=torch.device("cpu"),
        base=partial(checkpoint_tensors, checkpoint),
    )
    if config.alpha <= 0:
        raise InvalidAdapterError(f"lora_alpha is {config.alpha:g}; more than 0 is accepted", field=CONFIG_FILE)
    return ManifestDraft(
        base_model=checkpoint.name,
        base_revision=checkpoint.revision,
        language_pairs=tuple(dict.fromkeys(map(_pair, pairs))),
        rank=config.rank,
        alpha=config.alpha,
        targets=adapted_layers(folder),
    )


def _pair(text: str) -> str:
    source, hyphen, target = text.partition("-")
    if not hyphen:
        raise InvalidRequestError(f"--pair {text} names one language; two are needed, such as eng_Latn-hin_Deva")
    return "-".join(resolve_language(code, field="pair").code for code in (source, target))
