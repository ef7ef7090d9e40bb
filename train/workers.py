"""Runs the training loop on Ray Train's workers: any number of them, on one machine or many, replaced when they die.

Ray finds places for the workers, forms their process group (gloo on CPUs, nccl on GPUs) and starts all of them again
when one dies. Checkpoints are ours (`train.checkpoint`): Ray writes its own list of them in place, so that a run that
is killed at the wrong moment could not be resumed.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer
from ray.util.queue import Empty, Queue

from configs.schema import TrainingSettings
from train.errors import DivergedError, TrainingError
from train.job import TrainingJob
from train.records import Record, StartRecord

_POLL_S = 0.5
_OBJECT_STORE_BYTES = 200 * 1024**2  # weights and text never go through it


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


def fit(job: TrainingJob, roles: npt.NDArray[np.uint8], on_record: Callable[[Record | StartRecord], None]) -> None:
    """Train to the end; the result is then in the store of `result_store`.

    Args:
        job: What to do.
        roles: Of each line of the data.
        on_record: Is called in this process, from another thread, for the start and all progress.

    Raises:
        TrainingError: It failed more often than it may.
        DivergedError: There are no weights to be had this way.
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
    diverged: list[DivergedError] = []

    def take(message: Record | StartRecord | DivergedError) -> None:
        diverged.append(message) if isinstance(message, DivergedError) else on_record(message)

    with _listening(queue, take):  # the queue goes with this process, should it fail
        try:
            trainer.fit()
        except ray.train.TrainingFailedError as error:
            raise TrainingError(f"{_reason(error)}; the same command with --resume continues") from error
    queue.shutdown(force=True)
    if diverged:
        raise diverged[0]


def runs_on_gpu(settings: TrainingSettings) -> bool:
    """Whether workers get a GPU each. Ray must be connected."""
    if settings.device != "auto":
        return settings.device == "cuda"
    return bool(ray.cluster_resources().get("GPU", 0) >= (settings.min_workers or settings.num_workers))


@contextmanager
def _listening(queue: Queue, take: Callable[[Any], None]) -> Iterator[None]:
    ended = threading.Event()

    def listen() -> None:
        while True:
            last = ended.is_set()
            try:
                while True:
                    take(queue.get(block=False))
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


def _work(config: dict[str, Any]) -> None:
    """Run on each worker. What it takes to train is loaded there alone, not by the process that watches over them."""
    from train.worker import work

    queue = config["queue"]
    try:
        work(config["job"], ray.get(config["roles"]), queue.put)
    except DivergedError as error:  # of all workers: Ray would start them again, to the same end
        queue.put(error)
