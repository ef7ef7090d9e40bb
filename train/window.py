"""Sums over the steps since the last record: what becomes a record's means and rates."""

from __future__ import annotations

import time

import torch
from torch import Tensor


class Window:
    """Opens when it is made. Keeps tensors as they are, so that a device is not waited for at each step."""

    def __init__(self) -> None:
        self.num_batches = 0
        self.learning_rate = 0.0
        self._started_s = time.monotonic()
        self._norm: Tensor | float = 0.0
        self._loss: Tensor | float = 0.0
        self._num_target_tokens = 0
        self._num_tokens = 0

    @property
    def took_s(self) -> float:
        """Seconds since it opened."""
        return max(time.monotonic() - self._started_s, 1e-9)

    @property
    def gradient_norm(self) -> float:
        """Of the last step."""
        return float(self._norm)

    def add_step(self, norm: Tensor, learning_rate: float, num_batches: int) -> None:
        """Take a step of all workers."""
        self._norm, self.learning_rate = norm, learning_rate
        self.num_batches += num_batches

    def add_batch(self, loss: Tensor, num_target_tokens: int, num_tokens: int) -> None:
        """Take a batch of this worker."""
        self._loss = self._loss + loss
        self._num_target_tokens += num_target_tokens
        self._num_tokens += num_tokens

    def totals(self) -> Tensor:
        """Return this worker's loss, target tokens and tokens."""
        return torch.tensor([float(self._loss), self._num_target_tokens, self._num_tokens], dtype=torch.float64)
