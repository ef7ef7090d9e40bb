"""What a run shows, while it goes on and afterwards: a bar, `metrics.jsonl`, TensorBoard, Prometheus, a plot.

Replayed steps are taken once: of two records of one step, the later one counts.
"""

from __future__ import annotations

import json
import math
import tempfile
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from tensorboardX import SummaryWriter

from monitoring import metrics
from monitoring.recorder import RayExporter, Recorder
from train.plot import plot_curves
from train.records import DevRecord, Record, TrainRecord

METRICS_FILE = "metrics.jsonl"
PLOT_FILE = "progress.png"
TENSORBOARD_FOLDER = "tensorboard"


class RunProgress:
    """Shows and keeps the records of a run. Used with `with`; takes records from any one thread.

    Args:
        folder: The run's output folder; what an earlier part of the run left there is continued.
        name: Of the run, in Prometheus.
        console: For the bar; where it is no terminal, a line is written for each record.
        to_ray: Whether this process is connected to Ray, which carries the metrics to Prometheus.
    """

    def __init__(self, folder: Path, name: str, console: Console, *, to_ray: bool = True) -> None:
        self._file, self._plot_file = folder / METRICS_FILE, folder / PLOT_FILE
        self._name, self._console = name, console
        self._recorder = Recorder()
        self._exporter = RayExporter(self._recorder) if to_ray else None
        self._records = {(record["step"], record["kind"]): record for record in read_metrics(self._file)}
        self._tensorboard = SummaryWriter(str(folder / TENSORBOARD_FOLDER))
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
        self._bar = Progress(*columns, TimeElapsedColumn(), TextColumn("{task.fields[figures]}"), console=console)
        self._task = self._bar.add_task("Training", total=1.0, figures="")
        self._last_dev = ""

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
        self._tensorboard.close()
        self._rewrite()
        if self._records:
            plot_curves(self.records, self._plot_file)

    @property
    def records(self) -> list[dict[str, Any]]:
        """All records of the run, in the order of steps, each step once."""
        return [self._records[key] for key in sorted(self._records)]

    def show(self, record: Record) -> None:
        """Take one record."""
        values = {key: _number(value) for key, value in asdict(record).items() if value is not None}
        self._records[record.step, record.kind] = values
        with self._file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(values) + "\n")
        for key, value in values.items():
            if key not in {"kind", "step"} and value is not None:
                self._tensorboard.add_scalar(f"{record.kind}/{key}", float(value), record.step)
        if isinstance(record, TrainRecord):
            self._show_training(record)
        else:
            self._show_dev(record)
        if self._exporter is not None:
            self._exporter.flush()

    def _show_training(self, record: TrainRecord) -> None:
        figures = f"loss {record.loss:.3f}, {record.tokens_per_s:.0f} tokens/s, {_duration(record.time_left_s)} left"
        self._bar.update(self._task, completed=record.progress, figures=f"{figures}{self._last_dev}")
        if not self._console.is_terminal:
            self._console.print(f"step {record.step}, epoch {record.epoch:.2f}: {figures}")
        for metric, value in (
            (metrics.TRAINING_LOSS, record.loss),
            (metrics.TRAINING_TOKENS_PER_SECOND, record.tokens_per_s),
            (metrics.TRAINING_LEARNING_RATE, record.learning_rate),
            (metrics.TRAINING_GRADIENT_NORM, record.gradient_norm),
            (metrics.TRAINING_PROGRESS, record.progress),
        ):
            self._recorder.set(metric, value, run=self._name)

    def _show_dev(self, record: DevRecord) -> None:
        chrf = "" if record.chrf is None else f", chrF++ {record.chrf:.1f}"
        self._last_dev = f", dev loss {record.dev_loss:.3f}{chrf}"
        has_diverged = not math.isfinite(record.dev_loss)
        if has_diverged or not self._console.is_terminal:
            remark = " (training ends here)" if has_diverged else " (the best so far)" if record.is_best else ""
            self._console.print(
                f"step {record.step}, epoch {record.epoch:.2f}: dev loss {record.dev_loss:.3f}{chrf}{remark}"
            )
        self._recorder.set(metrics.TRAINING_DEV_LOSS, record.dev_loss, run=self._name)
        if record.chrf is not None:
            self._recorder.set(metrics.TRAINING_DEV_CHRF, record.chrf, run=self._name)

    def _rewrite(self) -> None:
        """Leave each step once, in order."""
        if self._records:
            with tempfile.NamedTemporaryFile("w", dir=self._file.parent, encoding="utf-8", delete=False) as draft:
                draft.writelines(json.dumps(record) + "\n" for record in self.records)
            Path(draft.name).chmod(0o644)
            Path(draft.name).replace(self._file)


def read_metrics(file: Path) -> list[dict[str, Any]]:
    """Return the records of a `metrics.jsonl`; none if there is no file. A line that was cut short is passed over."""
    records = []
    for line in file.read_text(encoding="utf-8").splitlines() if file.is_file() else ():
        try:
            records.append(json.loads(line))
        except ValueError:
            continue
    return records


def _number(value: Any) -> Any:
    """Return a value as JSON can have it, which knows no infinity and no NaN."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
