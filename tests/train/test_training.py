"""Training on a real Ray, on the demo model: submitted as a job with two workers, judged, published."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from configs.loader import ROOT
from pipelines.adapters import AdapterRegistry

COURSE = [
    *("--source-lang", "eng_Latn", "--target-lang", "hin_Deva", "--num-workers", "2", "--epochs", "5"),
    *("--batch-size", "16", "--learning-rate", "0.004", "--lora-dropout", "0", "--dev-ratio", "0.1"),
    *("--lora-targets", "q_proj,k_proj,v_proj,out_proj,fc1,fc2", "--checkpoint-interval-steps", "5"),
    *("--log-interval-steps", "5", "--num-chrf-sentences", "4"),
]


@pytest.fixture(scope="module")
def straight(
    ray_dashboard: str, everyday_and_medical: Path, demo_model_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    """A run that nothing happens to, submitted as a job with `--publish`; its output folder, and what it said."""
    home = tmp_path_factory.mktemp("straight")
    command = [sys.executable, "-m", "train.lora", *COURSE, "--data-file", str(everyday_and_medical)]
    command += ["--model", str(demo_model_path), "--output-dir", str(home / "medical"), "--publish", "medical"]
    job = [str(Path(sys.executable).with_name("ray")), "job", "submit", "--address", ray_dashboard]
    job += ["--working-dir", ".", "--", "env", f"NLLB__ADAPTERS__REGISTRY={home / 'registry'}", *command]
    for _ in range(20):  # a cluster that has just started may have no agent yet that takes jobs
        done = subprocess.run(job, cwd=ROOT, capture_output=True, text=True, check=False, timeout=900)
        if "No available agent" not in done.stdout + done.stderr:
            break
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return home, done.stdout


def test_a_submitted_job_trains_passes_the_gate_and_publishes(straight: tuple[Path, str]) -> None:
    """A TSV goes in, a version that the name points to comes out, with its scores, its gate report and its data."""
    home, said = straight
    registry = AdapterRegistry(str(home / "registry"))
    alias = registry.alias("medical")
    assert alias is not None
    assert alias.live == 1
    manifest = registry.verify("medical", 1)
    gate = manifest.gate_report
    assert gate is not None
    assert gate["passed"]
    assert not gate["forced"]
    assert gate["domain"]["gain_chrf"] >= 1.0
    assert gate["general"]["gain_chrf"] >= -1.0
    assert (manifest.rank, manifest.seed, manifest.language_pairs) == (16, 13, ("eng_Latn-hin_Deva",))
    run = json.loads((home / "medical" / "run.json").read_text())
    assert manifest.data_fingerprint == run["data_fingerprint"]
    assert "Gate: passed" in said
    assert "medical now points to medical@1" in said


def test_a_run_leaves_what_there_is_to_look_at(straight: tuple[Path, str]) -> None:
    """Metrics with each step once, a plot, TensorBoard files, the report of the data; no checkpoints any more."""
    folder = straight[0] / "medical"
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
