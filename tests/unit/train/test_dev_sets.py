"""What an adapter is judged by is what was kept from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.schema import GateSettings
from train.data.check import DataSource, Role, check_data
from train.dev_sets import domain_pairs, general_pairs, general_set
from train.errors import TrainingError

LANGUAGES = ("eng_Latn", "hin_Deva")


def test_the_whole_general_dev_set_is_kept_out_of_training() -> None:
    """Also what is over the gate's bound: the bound may be another one when a trained adapter is judged."""
    gate = GateSettings(max_pairs=10)
    assert general_pairs(LANGUAGES, gate) == list(general_set(LANGUAGES, gate))[:10]
    assert len(list(general_set(LANGUAGES, gate))) > 50


def test_nothing_is_judged_by_data_that_was_changed_since(tmp_path: Path) -> None:
    """Though the gate asks for a few pairs alone."""
    file = tmp_path / "data.tsv"
    lines = [f"good morning {each}\tनमस्ते {each}\n" for each in range(100)]
    file.write_text("".join(lines), encoding="utf-8")
    checked = check_data(DataSource(str(file), *LANGUAGES), dev_ratio=0.2, max_tokens=60, max_length_ratio=3)
    gate = GateSettings(max_pairs=2)
    assert domain_pairs(checked, gate) == list(checked.pairs(Role.DEV))[:2]
    file.write_text("".join([*lines[:-1], "good night\tशुभ रात्रि\n"]), encoding="utf-8")
    with pytest.raises(TrainingError, match="is not what was checked"):
        domain_pairs(checked, gate)
