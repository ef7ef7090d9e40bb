"""Runs the training loop on Ray Train's workers: any number of them, on one machine or many, replaced when they die.

Ray finds places for the workers, forms their process group (gloo on CPUs, nccl on GPUs) and starts all of them anew
when one dies. Checkpoints are ours (`train.checkpoint`): Ray writes its own list of them in place, so that a run that
is killed at the wrong moment could not be resumed.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

# Ray reads these when it is imported. Loopback only, but a web page can reach loopback: Ray asks for its token.
os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
# A busy machine takes longer than a minute to import torch, and giving up would not make it faster.
os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "600")

import numpy as np
import numpy.typing as npt
import ray
import ray.train
import torch
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer, get_device, prepare_model
from ray.util.queue import Empty, Queue
from torch import nn

from configs.schema import TrainingSettings
from pipelines.engine.checkpoint import locate_checkpoint
from pipelines.engine.device import pin_threads
from pipelines.engine.tokenize import SegmentTokenizer
from train.checkpoint import CheckpointStore
from train.data.check import CheckedData, DataReport, DataSource, Role
from train.data.tokens import TokenizedPairs, tokenize_pairs
from train.errors import TrainingError
from train.loop import TrainingLoop
from train.model import ModelPlan, load_trainable, save_model
from train.records import DevRecord, Record
from train.score import QuickScore

_POLL_S = 0.5
_OBJECT_STORE_BYTES = 200 * 1024**2  # weights and text never go through it


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
        precision: Of the arithmetic.
        checkpoint_location: A path or URI that all workers reach.
    """

    settings: TrainingSettings
    plan: ModelPlan
    peak_learning_rate: float
    data: DataSource
    report: DataReport
    model: str
    model_revision: str | None
    offline: bool
    precision: torch.dtype
    checkpoint_location: str


@contextmanager
def connected_to_ray(settings: TrainingSettings) -> Iterator[None]:
    """Connect to the cluster of RAY_ADDRESS, as in a submitted job; otherwise start a Ray of this process' own.

    Its own Ray may run beside a service on the same machine: they share nothing but the cores.
    """
    if ray.is_initialized():
        yield
        return
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if os.environ.get("RAY_ADDRESS"):
        ray.init(**quiet)
    else:
        wanted = int(np.ceil(settings.num_workers * settings.cpus_per_worker))
        ray.init(
            address="local",
            num_cpus=max(os.cpu_count() or 1, wanted),
            include_dashboard=False,
            object_store_memory=_OBJECT_STORE_BYTES,
            **quiet,
        )
    try:
        yield
    finally:
        ray.shutdown()


def fit(job: TrainingJob, roles: npt.NDArray[np.uint8], on_record: Callable[[Record], None]) -> None:
    """Train to the end; the result is then in the store of `result_store`.

    Args:
        job: What to do.
        roles: Of each line of the data.
        on_record: Is called in this process, from another thread, for all progress.

    Raises:
        TrainingError: It failed more often than it may.
    """
    settings = job.settings
    queue = Queue(actor_options={"num_cpus": 0})
    workers = settings.num_workers if settings.min_workers is None else (settings.min_workers, settings.num_workers)
    trainer = TorchTrainer(
        _work,
        train_loop_config={"job": job, "roles": ray.put(roles), "queue": queue},
        scaling_config=ScalingConfig(
            num_workers=workers,
            use_gpu=runs_on_gpu(settings),
            resources_per_worker={"CPU": settings.cpus_per_worker},
        ),
        run_config=RunConfig(
            name=".ray-train",
            storage_path=job.checkpoint_location,
            failure_config=FailureConfig(max_failures=settings.max_worker_failures),
        ),
    )
    with _listening(queue, on_record):  # the queue goes with this process, should it fail
        try:
            trainer.fit()
        except ray.train.TrainingFailedError as error:
            raise TrainingError(f"{_reason(error)}; the same command with --resume goes on") from error
    queue.shutdown(force=True)


def result_store(checkpoint_location: str) -> CheckpointStore:
    """Return where the finished model is, in the form that it is served in."""
    return CheckpointStore(f"{checkpoint_location}/result", num_kept=1)


def runs_on_gpu(settings: TrainingSettings) -> bool:
    """Whether workers get a GPU each. Ray must be connected."""
    if settings.device != "auto":
        return settings.device == "cuda"
    return bool(ray.cluster_resources().get("GPU", 0) >= (settings.min_workers or settings.num_workers))


@contextmanager
def _listening(queue: Queue, on_record: Callable[[Record], None]) -> Iterator[None]:
    ended = threading.Event()

    def listen() -> None:
        while True:
            last = ended.is_set()
            try:
                while True:
                    on_record(queue.get(block=False))
            except Empty:
                if last:
                    return
                ended.wait(_POLL_S)

    thread = threading.Thread(target=listen, name="training-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _reason(error: Exception) -> str:
    """Find the sentence that the failing worker raised."""
    failures = getattr(error, "worker_failures", None) or {0: error}
    lines = [str(failure).strip().splitlines() for failure in failures.values()]
    return "; ".join(dict.fromkeys(each[-1] for each in lines if each)) or str(error)


# On the workers.


def _work(config: dict[str, Any]) -> None:
    job: TrainingJob = config["job"]
    pin_threads(None)
    checkpoint = locate_checkpoint(job.model, revision=job.model_revision, offline=job.offline)
    tokenizer = SegmentTokenizer.from_checkpoint(checkpoint.path)
    folders = _tokenized(job, ray.get(config["roles"]), tokenizer, checkpoint.revision)
    train_folder, dev_folder = folders
    model = load_trainable(checkpoint.path, job.plan)
    settings = job.settings
    dev_pairs = TokenizedPairs(dev_folder)
    languages = (str(job.data.source_lang), str(job.data.target_lang))
    loop = TrainingLoop(
        model,
        TokenizedPairs(train_folder, bidirectional=settings.bidirectional),
        dev_pairs,
        settings,
        peak_learning_rate=job.peak_learning_rate,
        precision=job.precision,
        pad_id=tokenizer.pad_id,
        store=CheckpointStore(job.checkpoint_location, settings.num_checkpoints_kept),
        around=_RaySurroundings(config["queue"]),
        score=QuickScore(dev_pairs, tokenizer, languages[1], settings.num_chrf_sentences).chrf
        if settings.num_chrf_sentences
        else None,
    )
    loop.run()
    if ray.train.get_context().get_world_rank() == 0:
        store = result_store(job.checkpoint_location)
        store.save(0, lambda folder: save_model(model, checkpoint.path, folder, base_name=job.model))
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

    def __init__(self, queue: Queue) -> None:
        self.device = get_device()
        self._queue = queue

    def wrap(self, module: nn.Module) -> nn.Module:
        options = {"broadcast_buffers": False, "gradient_as_bucket_view": True}
        wrapped: nn.Module = prepare_model(module, parallel_strategy_kwargs=options)
        return wrapped

    def record(self, record: Record) -> None:
        self._queue.put(record)

    def synchronise(self, record: DevRecord) -> None:
        ray.train.report({key: value for key, value in asdict(record).items() if value is not None})
