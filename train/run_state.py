"""All that a run has to remember to go on as if it had never stopped, and how a checkpoint's folder keeps it.

state.json              where the run is
weights.safetensors     what is trained
best.safetensors        the same at the best evaluation, where that was an earlier step
optimizer.safetensors   AdamW's moments
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from train.model import load_weights, save_weights, set_weights, trained_weights


@dataclass(slots=True)
class RunState:
    """Where a run is.

    Attributes:
        step: Changes of the weights.
        num_batches: Micro-batches of all workers.
        best_dev_loss: Of all evaluations.
        best_step: Whose it was.
        evaluations_since_best: For early stopping.
        has_diverged: Whether the latest dev loss is no number: neither are the weights, and they stay so.
    """

    step: int = 0
    num_batches: int = 0
    best_dev_loss: float = float("inf")
    best_step: int = 0
    evaluations_since_best: int = 0
    has_diverged: bool = False

    def judge(self, dev_loss: float) -> bool:
        """Take the dev loss of this step, and return whether it is the best so far."""
        self.has_diverged = not math.isfinite(dev_loss)
        is_best = dev_loss < self.best_dev_loss
        if is_best:
            self.best_dev_loss, self.best_step, self.evaluations_since_best = dev_loss, self.step, 0
        else:
            self.evaluations_since_best += 1
        return is_best


def save_run(
    folder: Path,
    state: RunState,
    model: nn.Module,
    best: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
) -> None:
    """Write a run into an empty folder."""
    weights = trained_weights(model)
    save_weights(weights, folder / "weights.safetensors")
    if state.best_step not in (0, state.step):
        save_weights(best, folder / "best.safetensors")
    moments = {
        f"{name}|{key}": value
        for name, weight in weights.items()
        for key, value in optimizer.state.get(weight, {}).items()
    }
    save_weights(moments, folder / "optimizer.safetensors")
    content = asdict(state) | {"scaler": scaler.state_dict() or None}
    (folder / "state.json").write_text(json.dumps(content), encoding="utf-8")


def restore_run(
    folder: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    device: torch.device,
) -> tuple[RunState, dict[str, Tensor]]:
    """Set model, optimizer and scaler to what `save_run` wrote; return where the run is, and its best weights."""
    content: dict[str, Any] = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    if scaler_state := content.pop("scaler"):
        scaler.load_state_dict(scaler_state)
    state = RunState(**content)
    set_weights(model, load_weights(folder / "weights.safetensors"))
    best = {}
    if state.best_step:
        file = folder / "best.safetensors"
        saved = load_weights(file if file.is_file() else folder / "weights.safetensors")
        best = {name: weight.to(device) for name, weight in saved.items()}
    weights = trained_weights(model)
    for key, value in load_weights(folder / "optimizer.safetensors").items():
        name, _, moment = key.rpartition("|")
        # AdamW counts its steps on the CPU unless it is fused.
        optimizer.state[weights[name]][moment] = value.to(device)
    return state, best
