"""The training loop: the same for an adapter and for a whole model, on one worker or on many.

All that happens is a function of the seed and the place in the sequence of batches. So a worker that starts again from
a checkpoint computes what it would have computed, and repeating a part of the way changes nothing. Knows torch's
process group, not what started it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch import distributed as dist

from configs.schema import TrainingSettings
from train.checkpoint import CheckpointStore
from train.data.batches import BatchPlan, Rows
from train.data.tokens import TokenizedPairs
from train.errors import DivergedError
from train.loss import PairLoss
from train.model import base_model, set_evaluating, set_weights, trained_weights
from train.records import DevRecord, Record, TrainRecord
from train.run_state import RunState, restore_run, save_run
from train.schedule import learning_rate_factor
from train.tensors import pair_tensors
from train.window import Window

_BETAS = (0.9, 0.98)  # as M2M100 was trained (Fan et al. 2021)


class Surroundings(Protocol):
    """What the loop is told about where it runs, and whom it tells."""

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        ...

    def wrap(self, module: nn.Module) -> nn.Module:
        """Return the module with gradients averaged over all workers."""
        ...

    def record(self, record: Record) -> None:
        """Take note of progress. Called on the first worker alone."""
        ...

    def synchronise(self, record: DevRecord) -> None:
        """Called on all workers after each evaluation."""
        ...


class TrainingLoop:
    """Trains a model on pairs.

    Args:
        model: As `load_trainable` returns it.
        pairs: To train on.
        dev_pairs: To evaluate on.
        settings: The course of training.
        peak_learning_rate: See `learning_rate_factor`.
        precision: Of the arithmetic.
        pad_id: The token that fills a row up.
        store: Where checkpoints are.
        score: Translates a few dev sentences and returns chrF++; None draws no curve.
        around: Where this runs.
    """

    def __init__(
        self,
        model: nn.Module,
        pairs: TokenizedPairs,
        dev_pairs: TokenizedPairs,
        settings: TrainingSettings,
        *,
        peak_learning_rate: float,
        precision: torch.dtype,
        pad_id: int,
        store: CheckpointStore,
        around: Surroundings,
        score: Callable[[nn.Module], float] | None = None,
    ) -> None:
        self._model, self._pairs, self._dev_pairs = model, pairs, dev_pairs
        self._settings, self._precision, self._pad_id = settings, precision, pad_id
        self._peak_learning_rate = peak_learning_rate
        self._store, self._around, self._score = store, around, score
        self._rank, self._num_workers = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
        budget = settings.padded_token_budget
        self._plan = BatchPlan(pairs.lengths, settings.batch_size, budget, settings.seed)
        self._dev_plan = BatchPlan(dev_pairs.lengths, 2 * settings.batch_size, budget and 2 * budget, settings.seed)
        self._num_batches = settings.epochs * self._plan.batches_per_epoch
        self._batches_per_step = self._num_workers * settings.gradient_accumulation_steps
        self._state = RunState()
        self._best: dict[str, Tensor] = {}
        self._window = Window()

    def run(self) -> None:
        """Train from the newest checkpoint, or from the start, to the end; the model then has its best weights.

        Raises:
            DivergedError: The first dev loss is no number. A later one ends training, as early stopping does.
        """
        device = self._around.device
        self._model.to(device)
        self._loss = self._around.wrap(PairLoss(base_model(self._model), self._settings.label_smoothing))
        self._optimizer = _optimizer(self._model, self._settings.weight_decay)
        self._scaler = torch.amp.GradScaler(device.type, enabled=self._precision == torch.float16)
        with self._store.newest() as folder:
            if folder is not None:
                self._state, self._best = restore_run(folder, self._model, self._optimizer, self._scaler, device)
        self._window = Window()
        while self._state.num_batches < self._num_batches and not self._stopped():
            begun = self._state.num_batches
            self._step()
            evaluate = self._is_due(self._settings.eval_interval_steps, begun)
            if evaluate or self._state.step % self._settings.log_interval_steps == 0:
                self._record()
            if evaluate:
                self._evaluate()
            if self._is_due(self._settings.checkpoint_interval_steps, begun) or self._stopped():
                self._save()
        if self._best:
            set_weights(self._model, self._best)

    def _stopped(self) -> bool:
        patience = self._settings.early_stopping_patience
        return self._state.has_diverged or self._state.evaluations_since_best >= patience

    def _is_due(self, interval_steps: int | None, begun: int) -> bool:
        """Whether an interval ended with this step; without an interval, whether an epoch did."""
        now = self._state.num_batches
        if now >= self._num_batches:
            return True
        if interval_steps is None:
            return now // self._plan.batches_per_epoch > begun // self._plan.batches_per_epoch
        return self._state.step % interval_steps == 0

    def _step(self) -> None:
        state, settings = self._state, self._settings
        self._loss.train()
        first = state.num_batches
        last = min(first + self._batches_per_step, self._num_batches)
        progress = (first + last) / 2 / self._num_batches
        learning_rate = self._peak_learning_rate * learning_rate_factor(progress, settings.warmup_ratio)
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        indices = range(first, last)
        num_target_tokens = sum(self._num_target_tokens(self._plan.batch(index)) for index in indices)
        for turn in range(settings.gradient_accumulation_steps):
            index = first + turn * self._num_workers + self._rank
            with self._averaging(turn == settings.gradient_accumulation_steps - 1):
                # Gradients are averaged over the workers; what is wanted is the mean over all tokens.
                self._backward(index, index < last, self._num_workers / num_target_tokens)
        self._scaler.unscale_(self._optimizer)
        parameters = [each for group in self._optimizer.param_groups for each in group["params"]]
        norm = nn.utils.clip_grad_norm_(parameters, settings.max_gradient_norm)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._optimizer.zero_grad(set_to_none=True)
        state.step += 1
        state.num_batches = last
        self._window.add_step(norm, learning_rate, last - first)

    def _averaging(self, last: bool) -> AbstractContextManager[None]:
        no_sync = getattr(self._loss, "no_sync", None)
        return nullcontext() if last or no_sync is None else no_sync()

    def _backward(self, index: int, counts: bool, factor: float) -> None:
        """Add a batch's gradients. Past the end, a worker computes along with the others, for nothing."""
        rows = self._plan.batch(index if counts else 0)
        torch.manual_seed(self._settings.seed * 1_000_003 + index)  # of dropout
        with self._autocast():
            loss = self._loss(*self._tensors(self._pairs, rows)) * (1.0 if counts else 0.0)
        self._scaler.scale(loss * factor).backward()
        if counts:
            lengths = [self._pairs.row(int(row)) for row in rows]
            self._window.add_batch(
                loss.detach(), self._num_target_tokens(rows), sum(len(side) for pair in lengths for side in pair)
            )

    def _autocast(self) -> AbstractContextManager[Any]:
        if self._precision == torch.float32:
            return nullcontext()
        return torch.autocast(self._around.device.type, self._precision)

    def _tensors(self, pairs: TokenizedPairs, rows: Rows) -> tuple[Tensor, ...]:
        return pair_tensors(pairs, rows, pad_id=self._pad_id, device=self._around.device)

    def _num_target_tokens(self, rows: Rows) -> int:
        return int(self._pairs.target_lengths[rows].sum()) - len(rows)

    def _record(self) -> None:
        window, done = self._window, self._state.num_batches
        loss, num_target_tokens, num_tokens = self._summed(window.totals())
        if self._rank == 0:
            self._around.record(
                TrainRecord(
                    step=self._state.step,
                    epoch=self._epoch,
                    loss=loss / max(1.0, num_target_tokens),
                    learning_rate=window.learning_rate,
                    gradient_norm=window.gradient_norm,
                    tokens_per_s=num_tokens / window.took_s,
                    time_left_s=(self._num_batches - done) * window.took_s / max(1, window.num_batches),
                    progress=done / self._num_batches,
                )
            )
        self._window = Window()

    def _evaluate(self) -> None:
        dev_loss = self._dev_loss()
        is_best = self._state.judge(dev_loss)
        if is_best:
            self._best = {name: weight.detach().clone() for name, weight in trained_weights(self._model).items()}
        chrf = None
        if self._score is not None and self._rank == 0:
            chrf = self._score(self._model)
        record = DevRecord(self._state.step, self._epoch, dev_loss, chrf, is_best)
        if self._rank == 0:
            self._around.record(record)
        if self._state.has_diverged and not self._best:
            raise DivergedError(
                f"the loss is not a number at step {self._state.step}: lower --learning-rate (for a whole model, "
                "--full-learning-rate); in float16, try --precision bfloat16"
            )
        self._around.synchronise(record)
        self._window = Window()

    @property
    def _epoch(self) -> float:
        return round(self._state.num_batches / self._plan.batches_per_epoch, 4)

    @torch.no_grad()
    def _dev_loss(self) -> float:
        set_evaluating(self._loss)
        loss_of = getattr(self._loss, "module", self._loss)
        total = torch.zeros(2, dtype=torch.float64)
        for index in range(self._rank, self._dev_plan.batches_per_epoch, self._num_workers):
            rows = self._dev_plan.batch(index)
            with self._autocast():
                total[0] += loss_of(*self._tensors(self._dev_pairs, rows)).item()
            total[1] += int(self._dev_pairs.target_lengths[rows].sum()) - len(rows)
        loss, num_tokens = self._summed(total)
        return loss / max(1.0, num_tokens)

    def _summed(self, values: Tensor) -> list[float]:
        """Add values up over all workers."""
        if self._num_workers > 1:
            values = values.to(
                self._around.device, torch.float32 if self._around.device.type == "mps" else values.dtype
            )
            dist.all_reduce(values)
        return [float(value) for value in values]

    def _save(self) -> None:
        if self._rank == 0:
            self._store.save(
                self._state.step,
                lambda folder: save_run(folder, self._state, self._model, self._best, self._optimizer, self._scaler),
            )
        if self._num_workers > 1:
            dist.barrier()


def _optimizer(model: nn.Module, weight_decay: float) -> torch.optim.Optimizer:
    weights = list(trained_weights(model).values())
    groups = [
        {"params": [each for each in weights if each.ndim > 1], "weight_decay": weight_decay},
        {"params": [each for each in weights if each.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=0.0, betas=_BETAS, fused=True)
