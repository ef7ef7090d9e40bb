"""What an output folder says of its run, in `run.json`: all that decides the result, and whether the result is there.

So a run is continued as what it was, and two runs are never mixed.
"""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

from configs.schema import Settings
from pipelines.engine.checkpoint import Checkpoint
from pipelines.errors import StartupError
from train.data.check import CheckedData
from train.options import RunOptions

RUN_FILE = "run.json"
# What may be different when a run is resumed: it does not bear on the result, or only on how much is done at a time.
_FREE_SETTINGS = {
    "num_workers", "min_workers", "cpus_per_worker", "device", "max_worker_failures", "output_dir", "gate",
    "checkpoint_interval_steps", "num_checkpoints_kept", "checkpoint_uri", "log_interval_steps", "num_chrf_sentences",
    "max_bad_line_ratio",
}  # fmt: skip


class RunRecord:
    """The record of one run.

    Args:
        folder: The run's output folder, which may hold an earlier run's record.
        facts: See `deciding_facts`.
        resume: Whether the earlier run is continued.

    Attributes:
        run_id: Tells this run from all others, also from those in folders of the same name; kept when it is resumed.
        is_finished: Whether the earlier run did all of this already.

    Raises:
        StartupError: The folder's run is not finished and not resumed, or was another one.
    """

    def __init__(self, folder: Path, facts: dict[str, Any], *, resume: bool) -> None:
        self._file = folder / RUN_FILE
        earlier = _earlier(folder, facts, resume)
        self.run_id = str(earlier.get("run_id") or uuid.uuid4().hex[:12])
        self.is_finished = bool(earlier.get("finished"))
        self._content = dict(facts)

    def begin(self) -> None:
        """Write the record of a run that is not finished."""
        self._write(finished=False)

    def computes_in(self, precision: str) -> None:
        """Add which number format `training.precision` came to."""
        self._content["precision"] = precision
        self._write(finished=False)

    def finish(self) -> None:
        """Write that the result is there."""
        self._write(finished=True)

    def _write(self, *, finished: bool) -> None:
        write_json(self._file, self._content | {"run_id": self.run_id, "finished": finished})


def deciding_facts(
    options: RunOptions, settings: Settings, checkpoint: Checkpoint, checked: CheckedData
) -> dict[str, Any]:
    """Return all that decides the result; a run that is resumed must agree in it."""
    return {
        "kind": options.kind,
        "base_model": checkpoint.name,
        "base_revision": checkpoint.revision,
        "language_pair": f"{checked.source.source_lang}-{checked.source.target_lang}",
        "quantize": options.quantize,
        "data_fingerprint": checked.report.fingerprint,
        "settings": settings.training.model_dump(mode="json", exclude=_FREE_SETTINGS),
    }


def write_json(file: Path, content: dict[str, Any]) -> None:
    """Replace a JSON file at once."""
    draft = file.with_suffix(".draft")
    draft.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    draft.replace(file)


def _earlier(folder: Path, facts: dict[str, Any], resume: bool) -> dict[str, Any]:
    """Return the record of the run that is resumed, or nothing; refuses to mix two runs."""
    file = folder / RUN_FILE
    if not file.is_file():
        return {}
    earlier: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    if not resume:
        if earlier["finished"]:
            return {}  # its result is replaced, once the new one is there
        raise StartupError(
            f"{folder} holds a run that is not finished: --resume continues it; to start again, delete the folder or "
            "name another --output-dir",
            field="output_dir",
        )
    for key, value in facts.items():
        if earlier.get(key) != value:
            raise StartupError(
                f"--resume: the run in {folder} had {_difference(key, earlier.get(key), value)}: give what it had, or "
                "name another --output-dir",
                field=key,
            )
    return earlier


def _difference(key: str, before: Any, now: Any) -> str:
    if key == "data_fingerprint":
        return "other pairs to train and to evaluate on, by --data-file, --dev-file or --gate-general-file"
    if isinstance(before, dict) and isinstance(now, dict):
        name = next(name for name in now if before.get(name) != now[name])
        return f"{name} = {before.get(name)}, now it is {now[name]}"
    return f"{key} = {before}, now it is {now}"
