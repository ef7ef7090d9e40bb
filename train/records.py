"""What training says: a record of its start, one of each stretch of steps, and one of each evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class StartRecord:
    """What the workers found when they began, or began again.

    Attributes:
        precision: The number format that they compute in.
    """

    precision: str


@dataclass(frozen=True, slots=True)
class TrainRecord:
    """What a stretch of steps was like.

    Attributes:
        step: The last of them; a step is one change of the weights.
        epoch: Passes over the data so far, with the begun one's share.
        loss: Mean over target tokens, label smoothing included.
        learning_rate: At that step.
        gradient_norm: Before it is bounded.
        tokens_per_s: Source and target tokens of all workers.
        time_left_s: Estimate; early stopping comes sooner.
        progress: Share of the run that is done.
    """

    step: int
    epoch: float
    loss: float
    learning_rate: float
    gradient_norm: float
    tokens_per_s: float
    time_left_s: float
    progress: float
    kind: Literal["train"] = "train"


@dataclass(frozen=True, slots=True)
class DevRecord:
    """How good the model is on the dev set after a step; no label smoothing. chrF++ is of a few translations alone."""

    step: int
    epoch: float
    dev_loss: float
    chrf: float | None
    is_best: bool
    kind: Literal["dev"] = "dev"


Record = TrainRecord | DevRecord
"""Of progress."""
