"""The training loop: the same for an adapter and for a whole model, on one worker or on many.

All that happens is a function of the seed and the place in the sequence of batches. So a worker that starts again from
a checkpoint computes what it would have computed, and repeating a part of the way changes nothing. Knows torch's
process group, not what started it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch import distributed as dist

from configs.schema import TrainingSettings
from train.checkpoint import CheckpointStore
from train.data.batches import BatchPlan, Rows
from train.data.tokens import TokenizedPairs
from train.loss import IGNORED, PairLoss
from train.model import base_model, load_weights, save_weights, set_evaluating, set_weights, trained_weights
from train.schedule import learning_rate_factor

_BETAS = (0.9, 0.98)  # as M2M100 was trained (Fan et al. 2021)


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


@dataclass(slots=True)
class _State:
    """Where the run is. `num_batches` counts the micro-batches of all workers."""

    step: int = 0
    num_batches: int = 0
    best_dev_loss: float = float("inf")
    best_step: int = 0
    evaluations_since_best: int = 0
    scaler: dict[str, Any] | None = None


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
        self._state = _State()
        self._best: dict[str, Tensor] = {}
        self._window = _Window()

    def run(self) -> None:
        """Train from the newest checkpoint, or from the start, to the end; the model then has its best weights."""
        around, state = self._around, self._state
        self._model.to(around.device)
        self._loss = around.wrap(PairLoss(base_model(self._model), self._settings.label_smoothing))
        self._optimizer = _optimizer(self._model, self._settings.weight_decay)
        self._scaler = torch.amp.GradScaler(around.device.type, enabled=self._precision == torch.float16)
        self._restore()
        self._window = _Window()
        while state.num_batches < self._num_batches and not self._stopped():
            begun = state.num_batches
            self._step()
            evaluate = self._is_due(self._settings.eval_interval_steps, begun)
            if self._rank_records(evaluate):
                self._record()
            if evaluate:
                self._evaluate()
            if self._is_due(self._settings.checkpoint_interval_steps, begun) or self._stopped():
                self._save()
        if self._best:
            set_weights(self._model, self._best)

    def _stopped(self) -> bool:
        return self._state.evaluations_since_best >= self._settings.early_stopping_patience

    def _is_due(self, interval_steps: int | None, begun: int) -> bool:
        """Whether an interval ended with this step; without an interval, whether an epoch did."""
        now = self._state.num_batches
        if now >= self._num_batches:
            return True
        if interval_steps is None:
            return now // self._plan.batches_per_epoch > begun // self._plan.batches_per_epoch
        return self._state.step % interval_steps == 0

    def _rank_records(self, evaluate: bool) -> bool:
        return evaluate or self._state.step % self._settings.log_interval_steps == 0

    # One step.

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
        self._window.add(norm, learning_rate)

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

    def _tensors(self, pairs: TokenizedPairs, rows: Rows) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return what `PairLoss.forward` takes. The language is always given to the decoder, so it is no label."""
        sides = [pairs.row(int(row)) for row in rows]
        source_ids = self._filled([source for source, _ in sides], self._pad_id)
        targets = self._filled([target for _, target in sides], self._pad_id)
        labels = self._filled([target for _, target in sides], IGNORED)
        labels[:, 0] = IGNORED
        starts = torch.full_like(targets[:, :1], int(sides[0][1][-1]))  # decoding starts with `</s>`
        decoder_ids = torch.cat([starts, targets[:, :-1]], 1)
        return source_ids, source_ids.ne(self._pad_id).long(), decoder_ids, labels

    def _filled(self, rows: list[Any], fill: int) -> Tensor:
        table = np.full((len(rows), max(map(len, rows))), fill, dtype=np.int64)
        for place, row in enumerate(rows):
            table[place, : len(row)] = row
        return torch.from_numpy(table).to(self._around.device)

    def _num_target_tokens(self, rows: Rows) -> int:
        return int(self._pairs.target_lengths[rows].sum()) - len(rows)

    # Looking at it.

    def _record(self) -> None:
        loss, num_target_tokens, num_tokens = self._summed(self._window.totals())
        took_s = time.monotonic() - self._window.started_s
        done, state = self._state.num_batches, self._state
        batches_per_s = (done - self._window.first_batch(self._batches_per_step, done)) / max(took_s, 1e-9)
        if self._rank == 0:
            self._around.record(
                TrainRecord(
                    step=state.step,
                    epoch=round(done / self._plan.batches_per_epoch, 4),
                    loss=loss / max(1.0, num_target_tokens),
                    learning_rate=self._window.learning_rate,
                    gradient_norm=self._window.gradient_norm,
                    tokens_per_s=num_tokens / max(took_s, 1e-9),
                    time_left_s=(self._num_batches - done) / max(batches_per_s, 1e-9),
                    progress=done / self._num_batches,
                )
            )
        self._window = _Window()

    def _evaluate(self) -> None:
        state = self._state
        dev_loss = self._dev_loss()
        is_best = dev_loss < state.best_dev_loss
        if is_best:
            state.best_dev_loss, state.best_step, state.evaluations_since_best = dev_loss, state.step, 0
            self._best = {name: weight.detach().clone() for name, weight in trained_weights(self._model).items()}
        else:
            state.evaluations_since_best += 1
        chrf = None
        if self._score is not None and self._rank == 0:
            chrf = self._score(self._model)
        epoch = round(state.num_batches / self._plan.batches_per_epoch, 4)
        record = DevRecord(state.step, epoch, dev_loss, chrf, is_best)
        if self._rank == 0:
            self._around.record(record)
        self._around.synchronise(record)
        self._window = _Window()

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

    # Keeping it.

    def _save(self) -> None:
        if self._rank == 0:
            self._store.save(self._state.step, self._write)
        if self._num_workers > 1:
            dist.barrier()

    def _write(self, folder: Path) -> None:
        weights = trained_weights(self._model)
        save_weights(weights, folder / "weights.safetensors")
        if self._state.best_step not in (0, self._state.step):
            save_weights(self._best, folder / "best.safetensors")
        moments = {}
        for name, weight in weights.items():
            for key, value in self._optimizer.state.get(weight, {}).items():
                moments[f"{name}|{key}"] = value
        save_weights(moments, folder / "optimizer.safetensors")
        state = replace(self._state, scaler=self._scaler.state_dict() or None)
        (folder / "state.json").write_text(json.dumps(asdict(state)), encoding="utf-8")

    def _restore(self) -> None:
        with self._store.newest() as folder:
            if folder is None:
                return
            saved = json.loads((folder / "state.json").read_text(encoding="utf-8"))
            for key, value in saved.items():
                setattr(self._state, key, value)
            set_weights(self._model, load_weights(folder / "weights.safetensors"))
            if self._state.best_step:
                file = folder / "best.safetensors"
                best = load_weights(file if file.is_file() else folder / "weights.safetensors")
                self._best = {name: weight.to(self._around.device) for name, weight in best.items()}
            weights = trained_weights(self._model)
            for key, value in load_weights(folder / "optimizer.safetensors").items():
                name, _, moment = key.rpartition("|")
                # AdamW counts its steps on the CPU unless it is fused.
                self._optimizer.state[weights[name]][moment] = value.to(self._around.device)
            if self._state.scaler:
                self._scaler.load_state_dict(self._state.scaler)


class _Window:
    """Sums since the last record."""

    def __init__(self) -> None:
        self.started_s = time.monotonic()
        self.num_steps = 0
        self.learning_rate = 0.0
        self._norm: Tensor | float = 0.0
        self._loss: Tensor | float = 0.0
        self._num_target_tokens = 0
        self._num_tokens = 0

    def add(self, norm: Tensor, learning_rate: float) -> None:
        self.num_steps += 1
        self._norm, self.learning_rate = norm, learning_rate

    def add_batch(self, loss: Tensor, num_target_tokens: int, num_tokens: int) -> None:
        self._loss = self._loss + loss
        self._num_target_tokens += num_target_tokens
        self._num_tokens += num_tokens

    @property
    def gradient_norm(self) -> float:
        return float(self._norm)

    def first_batch(self, batches_per_step: int, done: int) -> int:
        return max(0, done - self.num_steps * batches_per_step)

    def totals(self) -> Tensor:
        return torch.tensor([float(self._loss), self._num_target_tokens, self._num_tokens], dtype=torch.float64)


def _optimizer(model: nn.Module, weight_decay: float) -> torch.optim.Optimizer:
    weights = list(trained_weights(model).values())
    groups = [
        {"params": [each for each in weights if each.ndim > 1], "weight_decay": weight_decay},
        {"params": [each for each in weights if each.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=0.0, betas=_BETAS, fused=True)
