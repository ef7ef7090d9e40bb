"""What a run leaves of its progress can be read by everybody, also where a figure is no number."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from train.progress import RunProgress, read_metrics
from train.records import DevRecord, TrainRecord


def _no_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


def train_record(step: int, loss: float) -> TrainRecord:
    """A record of some steps."""
    return TrainRecord(
        step, 0.5, loss, learning_rate=1e-3, gradient_norm=loss, tokens_per_s=10.0, time_left_s=1.0, progress=0.5
    )


@pytest.mark.parametrize("no_number", [float("nan"), float("inf")])
def test_metrics_are_json_whatever_the_loss_is(tmp_path: Path, no_number: float) -> None:
    """A figure that is no number is null there, is left out of the plot, and the end of the run is told."""
    said = io.StringIO()
    for _ in range(2):  # also when a second run reads what the first one left
        with RunProgress(tmp_path, "run", Console(file=said), to_ray=False) as progress:
            for record in (
                train_record(5, 2.5),
                DevRecord(5, 0.5, 2.0, None, is_best=True),
                train_record(10, no_number),
                DevRecord(10, 1.0, no_number, 0.0, is_best=False),
            ):
                progress.show(record)
            lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
        assert [json.loads(line, parse_constant=_no_constant) for line in lines]
        records = read_metrics(tmp_path / "metrics.jsonl")
        assert [record.get("dev_loss", record.get("loss")) for record in records] == [2.0, 2.5, None, None]
        assert (tmp_path / "progress.png").is_file()
    assert "training ends here" in said.getvalue()
