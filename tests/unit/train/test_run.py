"""What stands in the way of a run is said before any work begins."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from train.cli import main
from train.demo_adapter.data import MEDICAL_FILE


def run(model: Path, output: Path, *flags: str, data: Path = MEDICAL_FILE) -> int:
    """Start a run that is refused."""
    words = ["--data-file", str(data), "--source-lang", "eng_Latn", "--target-lang", "hin_Deva"]
    return main("lora", "", [*words, "--model", str(model), "--output-dir", str(output), *flags])


def test_bad_data_is_not_trained_on(demo_model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The report says which lines; the refusal says how many are accepted."""
    data = tmp_path / "data.tsv"
    data.write_text(MEDICAL_FILE.read_text(encoding="utf-8") + "alone\n" * 30, encoding="utf-8")
    assert run(demo_model_path, tmp_path / "run", data=data) == 1
    said = capsys.readouterr().err
    assert "wrong_columns: 30" in said
    assert "training.max_bad_line_ratio accepts 5.0%" in said
    assert not (tmp_path / "run").exists()


def test_data_without_a_dev_pair_is_not_trained_on(
    demo_model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A few lines need a dev set of their own."""
    data = tmp_path / "data.tsv"
    data.write_text("The patient has a cough.\tमरीज़ को खाँसी है।\n", encoding="utf-8")
    assert run(demo_model_path, tmp_path / "run", data=data) == 1
    assert "name a --dev-file" in capsys.readouterr().err


def test_two_runs_are_not_mixed(demo_model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An unfinished run is not overwritten, and is not continued as something else."""
    (tmp_path / "run.json").write_text(json.dumps({"kind": "full", "finished": False}))
    assert run(demo_model_path, tmp_path) == 1
    assert "--resume continues it" in capsys.readouterr().err
    assert run(demo_model_path, tmp_path, "--resume") == 1
    assert "had kind = full, now it is lora" in capsys.readouterr().err


def test_a_pair_without_a_general_dev_set_is_not_trained_to_be_published(
    demo_model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The gate could not judge it; that is said before training and not after."""
    assert run(demo_model_path, tmp_path / "run", "--target-lang", "mar_Deva", "--publish", "medical") == 1
    assert "--gate-general-file" in capsys.readouterr().err
