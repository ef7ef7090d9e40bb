"""Evaluation translates with the engine that serves, and compares what it is told to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from configs.schema import GateSettings, LoraSettings
from tests.tiny_model import make_tiny_checkpoint
from train.dev_sets import general_pairs
from train.evaluate import main
from train.job import ModelPlan
from train.model import load_trainable, save_model, trained_weights


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A tiny model, an adapter that changes what it says, and a few pairs."""
    home = tmp_path_factory.mktemp("evaluate")
    checkpoint = make_tiny_checkpoint(home / "model")
    model = load_trainable(checkpoint, ModelPlan(lora=LoraSettings(r=4), seed=1))
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in trained_weights(model).values():
            weight.normal_()
    save_model(model, checkpoint, home / "adapter", base_name="tiny")
    data = home / "dev.tsv"
    data.write_text("Good morning.\tनमस्ते\nHow much is it?\tयह कितने का है?\nbroken\n", encoding="utf-8")
    return checkpoint, home / "adapter", data


def given(folders: tuple[Path, Path, Path], *flags: str) -> list[str]:
    """A command line."""
    checkpoint, _, data = folders
    words = ["--data-file", str(data), "--source-lang", "en", "--target-lang", "hi", "--model", str(checkpoint)]
    return [*words, *flags]


def test_an_adapter_is_compared_with_the_base_model(
    folders: tuple[Path, Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Scores of both with signatures, and what each says; as JSON and as text."""
    assert main(given(folders, "--adapter", str(folders[1]), "--json")) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["before"]["num_pairs"] == report["after"]["num_pairs"] == 2
    assert any(example["before"] != example["after"] for example in report["examples"])
    assert {"chrf", "bleu", "spbleu"} <= report["after"]["signatures"].keys()
    assert main(given(folders, "--adapter", str(folders[1]))) == 0
    text = capsys.readouterr().out
    assert all(word in text for word in ("chrF++", "spBLEU", "exact match", "length ratio", "base model", "candidate"))


def test_an_adapter_against_itself_gains_nothing(
    folders: tuple[Path, Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """The baseline may be an adapter as well."""
    assert main(given(folders, "--baseline", str(folders[1]), "--adapter", str(folders[1]), "--json")) == 0
    assert json.loads(capsys.readouterr().out)["gain_chrf"] == 0.0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--adapter", "medical"], "neither a folder nor a version"),
        (["--model", "/nowhere"], "/nowhere"),
        (["--target-lang", "nonsense"], "nonsense"),
        (["--data-file", "none.tsv"], "none.tsv"),
    ],
)
def test_what_cannot_be_evaluated_is_named(
    folders: tuple[Path, Path, Path], capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    """In one sentence."""
    assert main([*given(folders), *flags]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("number", ["0", "-3"])
def test_no_pairs_cannot_be_asked_for(
    folders: tuple[Path, Path, Path], capsys: pytest.CaptureFixture[str], number: str
) -> None:
    """A negative number would be counted from the end."""
    with pytest.raises(SystemExit):
        main([*given(folders), "--max-pairs", number])
    assert f"--max-pairs is {number}; a whole number from 1 is accepted" in capsys.readouterr().err


def test_general_dev_sets_are_the_projects_own_or_the_users(tmp_path: Path) -> None:
    """Everyday sentences for four languages, a file for any; bounded; none where there is neither."""
    own = general_pairs(("eng_Latn", "hin_Deva"), GateSettings())
    assert len(own) > 50
    assert len(general_pairs(("fra_Latn", "spa_Latn"), GateSettings(max_pairs=10))) == 10
    assert general_pairs(("eng_Latn", "deu_Latn"), GateSettings()) == []
    file = tmp_path / "general.tsv"
    file.write_text("Good day.\tGuten Tag.\n\tleer\n", encoding="utf-8")
    assert general_pairs(("eng_Latn", "deu_Latn"), GateSettings(general_file=str(file))) == [
        ("Good day.", "Guten Tag.")
    ]
