"""The training loop in one process: it learns, it stops, and from any checkpoint it computes what it would have."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from configs.schema import LoraSettings, TrainingSettings
from pipelines.engine.tokenize import SegmentTokenizer
from tests.tiny_model import make_tiny_checkpoint
from train.checkpoint import CheckpointStore
from train.data.tokens import TokenizedPairs, tokenize_pairs
from train.errors import DivergedError
from train.job import ModelPlan
from train.loop import TrainingLoop
from train.model import load_trainable, trained_weights
from train.records import DevRecord, Record, TrainRecord
from train.score import QuickScore

_HAS_BITSANDBYTES = importlib.util.find_spec("bitsandbytes") is not None
WORDS = ("the", "quick", "brown", "fox", "jumps", "over", "lazy", "dog", "hello", "my", "friend")
HINDI = ("नमस्ते", "आप", "कैसे", "हैं", "मुझे", "डॉक्टर", "की", "ज़रूरत", "है", "यह", "कितने")


class Killed(Exception):
    """Stands for a worker's death."""


@dataclass
class Alone:
    """Surroundings of a single worker that remembers its records, and dies where it is told to."""

    die_at_step: int | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    records: list[Record] = field(default_factory=list)

    def wrap(self, module: nn.Module) -> nn.Module:
        """One worker has nothing to average."""
        return module

    def record(self, record: Record) -> None:
        """Remember; or die."""
        self.records.append(record)
        if record.step == self.die_at_step and isinstance(record, TrainRecord):
            raise Killed

    def synchronise(self, record: DevRecord) -> None:
        """One worker waits for nobody."""


@dataclass
class Spoiling(Alone):
    """Surroundings in which the weights are no numbers any more from a step on, as after an overflow."""

    at_step: int = 0
    model: nn.Module | None = None

    def wrap(self, module: nn.Module) -> nn.Module:
        """Keep hold of the weights."""
        self.model = module
        return module

    def record(self, record: Record) -> None:
        """Spoil them at the record before the evaluation."""
        super().record(record)
        if record.step == self.at_step and isinstance(record, TrainRecord) and self.model is not None:
            with torch.no_grad():
                for weight in trained_weights(self.model).values():
                    weight.fill_(torch.nan)


Run = Callable[..., tuple[dict[str, Tensor], Alone]]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """So small a model only loses by threads that wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Trains on a few word-by-word translations; returns the trained weights and what was recorded."""
    home = tmp_path_factory.mktemp("loop")
    checkpoint = make_tiny_checkpoint(home / "model")
    tokenizer = SegmentTokenizer.from_checkpoint(checkpoint)
    pairs = [
        (" ".join(WORDS[(first + place) % 11] for place in range(1 + first % 5)),
         " ".join(HINDI[(first + place) % 11] for place in range(1 + first % 5)))
        for first in range(60)
    ]  # fmt: skip
    for name, part in (("train", pairs[:48]), ("dev", pairs[48:])):
        tokenize_pairs(home / name, part, tokenizer, ("eng_Latn", "hin_Deva"))

    def train(
        store: Path, *, full: bool = False, quantize: str | None = None, around: Alone | None = None, **changes: object
    ) -> tuple[dict[str, Tensor], Alone]:
        settings = TrainingSettings(
            **{"epochs": 4, "batch_size": 8, "learning_rate": 1e-2, "log_interval_steps": 1, "num_chrf_sentences": 0}
            | changes
        )
        lora = settings.lora if "lora" in changes else LoraSettings(r=4)
        plan = ModelPlan(lora=None if full else lora, quantize=quantize, seed=settings.seed)
        # bitsandbytes' kernels for CPUs want wider layers than a tiny model has.
        base = make_tiny_checkpoint(home / "wide", d_model=64, ffn=64) if quantize else checkpoint
        model = load_trainable(base, plan)
        dev_pairs = TokenizedPairs(home / "dev")
        around = around or Alone()
        loop = TrainingLoop(
            model,
            TokenizedPairs(home / "train", bidirectional=settings.bidirectional),
            dev_pairs,
            settings,
            peak_learning_rate=settings.learning_rate,
            precision=getattr(torch, settings.precision.replace("auto", "float32")),
            pad_id=tokenizer.pad_id,
            store=CheckpointStore(str(store), settings.num_checkpoints_kept),
            around=around,
            score=QuickScore(dev_pairs, tokenizer, "hin_Deva", settings.num_chrf_sentences).chrf
            if settings.num_chrf_sentences
            else None,
        )
        loop.run()
        return {name: weight.detach().clone() for name, weight in trained_weights(model).items()}, around

    return train


def dev_losses(around: Alone) -> list[float]:
    """The dev loss of each evaluation."""
    return [record.dev_loss for record in around.records if isinstance(record, DevRecord)]


def assert_equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    """To the bit."""
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"full": True, "learning_rate": 3e-3},
        {"lora": LoraSettings(r=4, use_dora=True)},
        {"bidirectional": True, "num_chrf_sentences": 2},
        {"gradient_accumulation_steps": 2, "gradient_checkpointing": True},
        {"precision": "bfloat16"},
        pytest.param(
            {"quantize": "4bit"}, marks=pytest.mark.skipif(not _HAS_BITSANDBYTES, reason="Linux alone has it")
        ),
    ],
    ids=lambda changes: "-".join(changes) or "plain",
)
def test_it_learns(run: Run, tmp_path: Path, changes: dict[str, object]) -> None:
    """An adapter or all weights, in either direction, with the options that save memory: the dev loss falls."""
    _, around = run(tmp_path, **changes)
    losses = dev_losses(around)
    assert losses[-1] < losses[0] - 0.1
    scores = [record.chrf for record in around.records if isinstance(record, DevRecord)]
    assert all((score is not None) == bool(changes.get("num_chrf_sentences")) for score in scores)


def test_the_same_seed_gives_the_same_adapter_and_another_seed_another(run: Run, tmp_path: Path) -> None:
    """To the bit, dropout and the order of batches included."""
    first, _ = run(tmp_path / "1")
    again, _ = run(tmp_path / "2")
    other, _ = run(tmp_path / "3", seed=14)
    assert_equal(first, again)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_a_run_that_died_computes_what_it_would_have(run: Run, tmp_path: Path) -> None:
    """From its last checkpoint, with another death on the way: the same adapter to the bit."""
    straight, without = run(tmp_path / "straight", checkpoint_interval_steps=5)
    for step in (9, 17):
        with pytest.raises(Killed):
            run(tmp_path / "killed", checkpoint_interval_steps=5, around=Alone(die_at_step=step))
    resumed, around = run(tmp_path / "killed", checkpoint_interval_steps=5)
    assert_equal(straight, resumed)
    assert around.records[0].step == 16
    assert dev_losses(around) == dev_losses(without)[-len(dev_losses(around)) :]


def test_a_finished_run_that_starts_again_has_nothing_left_to_do(run: Run, tmp_path: Path) -> None:
    """It gives its best weights and records nothing."""
    first, _ = run(tmp_path)
    again, around = run(tmp_path)
    assert_equal(first, again)
    assert around.records == []


def test_training_stops_when_the_dev_loss_no_longer_falls(run: Run, tmp_path: Path) -> None:
    """After as many evaluations as it is patient for; the weights are those of the best one."""
    _, around = run(tmp_path, learning_rate=1e-12, epochs=9, early_stopping_patience=2)
    losses = dev_losses(around)
    assert len(losses) == 3
    assert [record.is_best for record in around.records if isinstance(record, DevRecord)] == [True, False, False]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_run_without_a_single_usable_evaluation_fails(run: Run, tmp_path: Path, precision: str) -> None:
    """It leaves no adapter of numbers that are none; the message says what to change."""
    around = Alone()
    with pytest.raises(DivergedError, match=r"not a number at step 6: lower --learning-rate"):
        run(tmp_path, learning_rate=1e30, precision=precision, around=around)
    assert not math.isfinite(dev_losses(around)[-1])


def test_a_run_that_diverges_later_keeps_its_best_weights(run: Run, tmp_path: Path) -> None:
    """It ends there, and so does the run that goes on from its last checkpoint."""
    around = Spoiling(at_step=12)
    weights, _ = run(tmp_path, epochs=9, around=around)
    losses = dev_losses(around)
    assert [math.isfinite(loss) for loss in losses] == [True, False]
    assert all(bool(torch.isfinite(weight).all()) for weight in weights.values())
    again, idle = run(tmp_path, epochs=9)
    assert_equal(weights, again)
    assert idle.records == []


def test_accumulated_steps_equal_one_large_step(run: Run, tmp_path: Path) -> None:
    """What is averaged is the loss of a token, not of a batch, however the pairs are cut."""
    settings = {"lora": LoraSettings(r=4, dropout=0.0), "epochs": 1, "eval_interval_steps": 1, "label_smoothing": 0.0}
    _, large = run(tmp_path / "1", batch_size=48, **settings)
    _, small = run(tmp_path / "2", batch_size=8, gradient_accumulation_steps=6, **settings)
    losses = [
        [record.loss for record in around.records if isinstance(record, TrainRecord)] for around in (large, small)
    ]
    assert len(losses[0]) == len(losses[1]) == 1
    assert dev_losses(small) == pytest.approx(dev_losses(large), rel=2e-2)  # the model itself drops activations
