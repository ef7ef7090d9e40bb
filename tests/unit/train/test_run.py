"""What stands in the way of a run is said before any work begins."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from configs.schema import GateSettings
from train.cli import main
from train.demo_adapter.data import MEDICAL_FILE
from train.dev_sets import general_pairs


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


@pytest.mark.parametrize("own", [False, True], ids=["the-projects", "the-users"])
def test_the_general_dev_set_is_not_trained_on(
    demo_model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], own: bool
) -> None:
    """All of it, whatever the gate's bound: the gate would measure what was learnt by heart."""
    pairs = general_pairs(("eng_Latn", "hin_Deva"), GateSettings())
    general = tmp_path / "general.tsv"
    general.write_text("".join(f"{source}\t{target}\n" for source, target in pairs), encoding="utf-8")
    flags = ["--gate-max-pairs", "5", *(["--gate-general-file", str(general)] if own else [])]
    assert run(demo_model_path, tmp_path / "run", *flags, data=general) == 1
    said = capsys.readouterr().err
    assert f"{len(pairs)} lines, 0 to train on" in said
    assert "0 bad" in said
    assert "leaves no pair to train on" in said


def test_text_that_the_model_cannot_read_is_not_trained_on(
    demo_model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever `training.max_source_tokens` accepts."""
    data = tmp_path / "data.tsv"
    data.write_text(f"{'The patient has a cough. ' * 400}\t{'मरीज़ को खाँसी है। ' * 400}\n" * 2, encoding="utf-8")
    assert run(demo_model_path, tmp_path / "run", "--max-source-tokens", "1000000", data=data) == 1
    assert "too_long: 2" in capsys.readouterr().err


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
