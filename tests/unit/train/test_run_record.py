"""A run is continued as what it was, where it was, and is told from all others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.errors import StartupError
from train.run_record import RUN_FILE, RunRecord

FACTS = {"kind": "lora", "data_fingerprint": "1234", "settings": {"epochs": 3, "precision": "auto"}}


def content(folder: Path) -> dict[str, object]:
    """What the folder says of its run."""
    return json.loads((folder / RUN_FILE).read_text())


def test_a_run_has_a_name_of_its_own_which_it_keeps(tmp_path: Path) -> None:
    """Whatever its folder is called: checkpoints of others are never where its own are. A new run has another one."""
    record = RunRecord(tmp_path, FACTS, resume=False)
    record.begin()
    resumed = RunRecord(tmp_path, FACTS, resume=True)
    assert (resumed.run_id, resumed.is_finished) == (record.run_id, False)
    resumed.finish()
    finished = RunRecord(tmp_path, FACTS, resume=True)
    assert (finished.run_id, finished.is_finished) == (record.run_id, True)
    again = RunRecord(tmp_path, FACTS, resume=False)
    assert not again.is_finished
    assert again.run_id != record.run_id


def test_the_record_says_what_was_asked_for_and_what_it_came_to(tmp_path: Path) -> None:
    """The number format is known once the workers have begun; it is none of what a resumed run must agree in."""
    record = RunRecord(tmp_path, FACTS, resume=False)
    record.begin()
    assert "precision" not in content(tmp_path)
    record.computes_in("bfloat16")
    record.finish()
    assert content(tmp_path) == FACTS | {"precision": "bfloat16", "run_id": record.run_id, "finished": True}
    assert RunRecord(tmp_path, FACTS, resume=True).is_finished


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"settings": {"epochs": 4, "precision": "auto"}}, "had epochs = 3, now it is 4: give what it had"),
        ({"data_fingerprint": "5678"}, "had other pairs to train and to evaluate on, by --data-file, --dev-file or"),
    ],
)
def test_another_run_is_not_resumed(tmp_path: Path, change: dict[str, object], message: str) -> None:
    """What is different is named."""
    RunRecord(tmp_path, FACTS, resume=False).begin()
    with pytest.raises(StartupError, match=message):
        RunRecord(tmp_path, FACTS | change, resume=True)
