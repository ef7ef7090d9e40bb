"""What one worker of Ray Train does: tokenise the data on its machine, load the model, and run the loop."""

from __future__ import annotations

import hashlib
import shutil
import socket
import tempfile
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import ray.train
from ray.train.torch import get_device, prepare_model
from torch import nn

from pipelines.engine.checkpoint import locate_checkpoint
from pipelines.engine.device import pin_threads
from pipelines.engine.tokenize import SegmentTokenizer
from train.checkpoint import CheckpointStore, result_store
from train.data.check import CheckedData, Role
from train.data.tokens import TokenizedPairs, tokenize_pairs
from train.errors import TrainingError
from train.job import TrainingJob
from train.loop import TrainingLoop
from train.model import load_trainable, save_model
from train.precision import agreed_precision
from train.records import DevRecord, Record, StartRecord
from train.score import QuickScore


def work(job: TrainingJob, roles: npt.NDArray[np.uint8], on_record: Callable[[Record | StartRecord], None]) -> None:
    """Train to the end; the first worker leaves the result in the store.

    Args:
        job: What to do.
        roles: Of each line of the data.
        on_record: Is told of the start and of progress by the first worker.

    Raises:
        TrainingError: This machine does not have the checkpoints, or the data, that the command has.
        DivergedError: See `TrainingLoop.run`.
    """
    store = CheckpointStore(job.checkpoint_location, job.settings.num_checkpoints_kept)
    if not store.is_claimed_by(job.claim):
        raise TrainingError(
            f"{job.checkpoint_location} is on {socket.gethostname()}, where a worker runs, another folder than "
            "where the command runs: name an --output-dir that all machines share, or a --checkpoint-uri"
        )
    pin_threads(None)
    around, is_first = _RaySurroundings(on_record), ray.train.get_context().get_world_rank() == 0
    precision = agreed_precision(job.settings.precision, around.device)
    if is_first:
        on_record(StartRecord(str(precision).removeprefix("torch.")))
    checkpoint = locate_checkpoint(job.model, revision=job.model_revision, offline=job.offline)
    tokenizer = SegmentTokenizer.from_checkpoint(checkpoint.path)
    folders = _tokenized(job, roles, tokenizer, checkpoint.revision)
    train_folder, dev_folder = folders
    model = load_trainable(checkpoint.path, replace(job.plan, dtype=precision))
    settings = job.settings
    dev_pairs = TokenizedPairs(dev_folder)
    languages = (str(job.data.source_lang), str(job.data.target_lang))
    loop = TrainingLoop(
        model,
        TokenizedPairs(train_folder, bidirectional=settings.bidirectional),
        dev_pairs,
        settings,
        peak_learning_rate=job.peak_learning_rate,
        precision=precision,
        pad_id=tokenizer.pad_id,
        store=store,
        around=around,
        score=QuickScore(dev_pairs, tokenizer, languages[1], settings.num_chrf_sentences).chrf
        if settings.num_chrf_sentences
        else None,
    )
    loop.run()
    if is_first:
        result = result_store(job.checkpoint_location)
        result.save(0, lambda folder: save_model(model, checkpoint.path, folder, base_name=job.model))
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)  # others have opened them by now, or are done


def _tokenized(
    job: TrainingJob, roles: npt.NDArray[np.uint8], tokenizer: SegmentTokenizer, revision: str
) -> tuple[Path, Path]:
    """Return the folders of pairs to train on and to evaluate on, on this machine."""
    name = hashlib.sha256(f"{job.report.fingerprint} {revision} {job.data}".encode()).hexdigest()[:20]
    home = Path(tempfile.gettempdir()) / "nllb-ray-tokens"
    checked = CheckedData(job.data, job.report, roles)
    languages = (str(job.data.source_lang), str(job.data.target_lang))
    folders = (home / f"{name}-train", home / f"{name}-dev")
    for folder, role in zip(folders, (Role.TRAIN, Role.DEV), strict=True):
        tokenize_pairs(folder, checked.pairs(role), tokenizer, languages)
    return folders


class _RaySurroundings:
    """See `Surroundings`."""

    def __init__(self, on_record: Callable[[Record], None]) -> None:
        self.device = get_device()
        self.record = on_record

    def wrap(self, module: nn.Module) -> nn.Module:
        options = {"broadcast_buffers": False, "gradient_as_bucket_view": True}
        wrapped: nn.Module = prepare_model(module, parallel_strategy_kwargs=options)
        return wrapped

    def synchronise(self, record: DevRecord) -> None:
        ray.train.report({key: value for key, value in asdict(record).items() if value is not None})
