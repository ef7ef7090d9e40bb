"""Flags win over the file, which wins over the schema; every setting has a flag."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.errors import ConfigError
from configs.schema import TrainingSettings
from train.cli import main, parse

GIVEN = ["--data-file", "medical.tsv", "--source-lang", "eng_Latn", "--target-lang", "hin_Deva"]


def test_the_command_of_the_documentation_is_understood() -> None:
    """Every flag ends up where it belongs."""
    words = (
        "--config configs/training_config.yaml --lora-r 8 --lora-alpha 16 --epochs 5 --batch-size 4 --quantize 4bit "
        "--output-dir models/lora-adapters/medical --num-workers 2 --publish medical --resume --bidirectional "
        "--lora-targets q_proj,v_proj --gate-min-domain-gain 2.5"
    )
    options, settings = parse("lora", "", [*GIVEN, *words.split()])
    training = settings.training
    assert (training.lora.r, training.lora.alpha, training.lora.targets) == (8, 16, ("q_proj", "v_proj"))
    assert (training.epochs, training.batch_size, training.num_workers) == (5, 4, 2)
    assert (training.output_dir, training.gate.min_domain_gain) == ("models/lora-adapters/medical", 2.5)
    assert training.bidirectional
    assert (options.kind, options.data_file, options.quantize) == ("lora", "medical.tsv", "4bit")
    assert (options.publish, options.resume, options.force) == ("medical", True, False)


def test_flags_win_over_the_file_which_wins_over_the_defaults(tmp_path: Path) -> None:
    """And what nobody names is the schema's."""
    file = tmp_path / "mine.yaml"
    file.write_text("training: {epochs: 7, seed: 99, device: cpu}\n")
    _, settings = parse("full", "", [*GIVEN, "--config", str(file), "--epochs", "2"])
    assert (settings.training.epochs, settings.training.seed, settings.training.device) == (2, 99, "cpu")
    assert settings.training.batch_size == TrainingSettings().batch_size


def test_a_bad_value_is_named_with_its_place(tmp_path: Path) -> None:
    """In the file by line, on the command line by key."""
    file = tmp_path / "mine.yaml"
    file.write_text("training:\n  epochs: many\n")
    with pytest.raises(ConfigError, match=r"mine.yaml:2: training.epochs = 'many'"):
        parse("lora", "", [*GIVEN, "--config", str(file)])
    with pytest.raises(ConfigError, match=r"training.epochs = '0'"):
        parse("lora", "", [*GIVEN, "--epochs", "0"])


@pytest.mark.parametrize(
    "targets", ["q_proj,v_porj", "q_proj,lm_head", "q_proj,embed_tokens", "q_proj,self_attn.v_proj"]
)
def test_a_layer_that_is_not_adapted_is_refused(targets: str) -> None:
    """Before training: misspelt, one of its name that the service does not adapt, or a longer name."""
    wrong = targets.partition(",")[2]
    with pytest.raises(
        ConfigError, match=rf"training.lora.targets.1 = '{wrong}': should be 'q_proj', .* 'fc1' or 'fc2'"
    ):
        parse("lora", "", [*GIVEN, "--lora-targets", targets])


@pytest.mark.parametrize(
    ("kind", "flags", "message"),
    [
        ("lora", ["--target-lang", "xxx_Latn"], "xxx_Latn"),
        ("lora", ["--target-lang", "eng_Latn"], "are both eng_Latn"),
        ("full", ["--quantize", "4bit"], "python -m train.lora"),
        ("full", ["--publish", "medical"], "--publish is for adapters"),
        ("lora", ["--publish", "Medical!"], "adapter name 'Medical!'"),
        ("lora", ["--min-workers", "4"], "training.min_workers = 4 should be at most"),
        ("lora", ["--model", "/nowhere"], "/nowhere"),
        ("lora", ["--model", "/not[/markup]"], "/not[/markup]"),
        ("lora", [], "medical.tsv"),
    ],
)
def test_what_cannot_be_done_is_refused_in_a_sentence(
    kind: str, flags: list[str], message: str, capsys: pytest.CaptureFixture[str], demo_model_path: Path, tmp_path: Path
) -> None:
    """Before any work begins."""
    output = tmp_path / "run"
    given = [*GIVEN, "--output-dir", str(output), "--model", str(demo_model_path), *flags]
    assert main(kind, "", given) == 1
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said
    assert not output.exists()
