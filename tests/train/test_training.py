"""Training on a real Ray, on the demo model: submitted with two workers, judged, published; killed and resumed."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from configs.loader import ROOT
from pipelines.adapters import AdapterRegistry
from tests.train.conftest import Cluster

COURSE = [
    *("--source-lang", "eng_Latn", "--target-lang", "hin_Deva", "--num-workers", "2", "--epochs", "5"),
    *("--batch-size", "16", "--learning-rate", "0.004", "--lora-dropout", "0", "--dev-ratio", "0.1"),
    *("--lora-targets", "q_proj,k_proj,v_proj,out_proj,fc1,fc2", "--checkpoint-interval-steps", "5"),
    *("--log-interval-steps", "5", "--num-chrf-sentences", "4"),
]
TRAIN_LORA = [sys.executable, "-m", "train.lora"]
_WORKER = "TrainWorker"  # in the name of its process
_TIMEOUT_S = 600.0
ADAPTER = Path("adapter") / "adapter_model.safetensors"


@dataclass(frozen=True)
class Submitted:
    """A run that nothing happened to, and what it left."""

    folder: Path
    registry: AdapterRegistry
    said: str
    metrics: set[str]


@pytest.fixture(scope="module")
def course(everyday_and_medical: Path, demo_model_path: Path) -> list[str]:
    """What all runs are told, but for the output folder."""
    return [*COURSE, "--data-file", str(everyday_and_medical), "--model", str(demo_model_path)]


@pytest.fixture(scope="module")
def submitted(cluster: Cluster, course: list[str], tmp_path_factory: pytest.TempPathFactory) -> Submitted:
    """Submit a job with `--publish` and wait for its end."""
    home = tmp_path_factory.mktemp("submitted")
    command = [*TRAIN_LORA, *course, "--output-dir", str(home / "medical"), "--publish", "medical"]
    job = [str(Path(sys.executable).with_name("ray")), "job", "submit", "--address", cluster.dashboard_url]
    # How much this short and steep course forgets depends on how the processor rounds: 0 to 3 chrF++ were seen.
    settings = [f"NLLB__ADAPTERS__REGISTRY={home / 'registry'}", "NLLB__TRAINING__GATE__MAX_GENERAL_LOSS=10"]
    job += ["--working-dir", ".", "--", "env", *settings, *command]
    with cluster.scraped() as metrics:
        for _ in range(20):  # a cluster that has just started may have no agent yet that takes jobs
            done = subprocess.run(job, cwd=ROOT, capture_output=True, text=True, check=False, timeout=900)
            if "No available agent" not in done.stdout + done.stderr:
                break
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return Submitted(home / "medical", AdapterRegistry(str(home / "registry")), done.stdout, metrics)


def test_a_submitted_job_trains_passes_the_gate_and_publishes(submitted: Submitted) -> None:
    """A TSV goes in, a version that the name points to comes out, with its scores, its gate report and its data."""
    alias = submitted.registry.alias("medical")
    assert alias is not None
    assert alias.live == 1
    manifest = submitted.registry.verify("medical", 1)
    gate = manifest.gate_report
    assert gate is not None
    assert gate["passed"]
    assert not gate["forced"]
    assert gate["domain"]["gain_chrf"] >= 1.0
    assert gate["general"]["gain_chrf"] >= -10.0
    assert (manifest.rank, manifest.seed, manifest.language_pairs) == (16, 13, ("eng_Latn-hin_Deva",))
    run = json.loads((submitted.folder / "run.json").read_text())
    assert manifest.data_fingerprint == run["data_fingerprint"]
    assert "Gate: passed" in submitted.said
    assert "medical now points to medical@1" in submitted.said


def test_a_run_leaves_what_there_is_to_look_at(submitted: Submitted) -> None:
    """Metrics with each step once, a plot, TensorBoard files, the report of the data; no checkpoints any more."""
    folder = submitted.folder
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    steps = [record["step"] for record in records if record["kind"] == "train"]
    assert steps == sorted(set(steps))
    losses = [record["dev_loss"] for record in records if record["kind"] == "dev"]
    assert losses[-1] < losses[0]
    assert all(record["tokens_per_s"] > 0 for record in records if record["kind"] == "train")
    assert (folder / "progress.png").read_bytes().startswith(b"\x89PNG")
    assert list((folder / "tensorboard").glob("events.*"))
    assert json.loads((folder / "data.json").read_text())["num_bad"] == 0
    assert not (folder / "checkpoints").exists()


@pytest.mark.parametrize(
    "figure",
    [
        r'ray_nllb_training_(loss|progress_ratio|dev_loss|dev_chrf|tokens_per_second)\{.*run="medical".*\} \d',
        r'ray_nllb_training_gate_total\{.*result="passed".*\} 1\.0',
    ],
)
def test_prometheus_hears_of_training_and_of_the_verdict(submitted: Submitted, figure: str) -> None:
    """While the job runs, from the port of its node."""
    assert [line for line in submitted.metrics if re.match(figure, line)]


def test_what_the_gate_refuses_is_told_from_a_failure(submitted: Submitted, course: list[str]) -> None:
    """Asked again with a gate that nothing passes: the trained adapter is judged, stays, and is not published."""
    command = [*TRAIN_LORA, *course, "--output-dir", str(submitted.folder), "--resume", "--publish", "medical"]
    done = subprocess.run(
        [*command, "--gate-min-domain-gain", "99"],
        cwd=ROOT,
        env=os.environ | {"NLLB__ADAPTERS__REGISTRY": submitted.registry.uri},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert "Not published: medical did not pass the gate" in done.stderr
    assert submitted.registry.versions("medical") == [1]


def test_deaths_of_the_trainer_and_of_a_worker_change_nothing(
    submitted: Submitted, cluster: Cluster, course: list[str], tmp_path: Path
) -> None:
    """The trainer is killed and continued by `--resume`, then a worker: the same adapter, to the bit."""
    folder = tmp_path / "medical"
    course = [*course, "--output-dir", str(folder)]
    # In processes of their own, as users train; on the test's Ray, which stays.
    options = {"cwd": ROOT, "env": os.environ | {"RAY_ADDRESS": cluster.address}, "text": True}
    with subprocess.Popen([*TRAIN_LORA, *course], **options) as trainer:
        first_kept = _wait_for_checkpoint(folder, 10)
        trainer.kill()
    with _a_worker_killed(folder, 60) as killed_at:
        done = subprocess.run([*TRAIN_LORA, *course, "--resume"], **options, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 0, done.stderr
    assert (folder / ADAPTER).read_bytes() == (submitted.folder / ADAPTER).read_bytes()
    steps = [int(step) for step in re.findall(r"^step (\d+),.* tokens/s", done.stderr, re.MULTILINE)]
    assert first_kept < steps[0] <= killed_at[0] < steps[-1]
    # Nothing is lost but the steps since the last checkpoint, and there is one every five steps.
    assert all(after > before - 5 for before, after in itertools.pairwise(steps))


def _wait_for_checkpoint(folder: Path, step: int) -> int:
    """Return the newest whole checkpoint's step, once it is that far."""
    pause = threading.Event()
    until_s = time.monotonic() + _TIMEOUT_S
    while time.monotonic() < until_s:
        whole = (folder / "checkpoints").glob("step-*/complete.json")
        newest = max((int(file.parent.name.split("-")[1]) for file in whole), default=0)
        if newest >= step:
            return newest
        pause.wait(0.005)
    raise TimeoutError(f"there is no checkpoint of step {step}")


@contextmanager
def _a_worker_killed(folder: Path, step: int) -> Iterator[list[int]]:
    """Kill one of two workers at a step while the block runs; give the newest checkpoint's step at that moment."""
    killed_at: list[int] = []

    def kill() -> None:
        newest = _wait_for_checkpoint(folder, step)
        workers = [each for each in psutil.Process().children(recursive=True) if _WORKER in " ".join(each.cmdline())]
        workers[0].kill()
        killed_at.append(newest)

    thread = threading.Thread(target=kill)
    thread.start()
    yield killed_at
    thread.join()
