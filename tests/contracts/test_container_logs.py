"""What the service writes into files comes out of its container, by `cluster/logs.conf` and a real rsyslog."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cluster_files import CLUSTER

_LIMIT_S = 30.0
_WRITTEN = ["serve/replica_nllb_Ingress_x1.log", "serve/controller_7.log", "worker-1-01000000-9.err"]


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """A folder in the place of `/tmp/ray`, of which no session has begun."""
    if shutil.which("rsyslogd") is None:
        pytest.skip("needs rsyslog")
    (tmp_path / "rsyslog").mkdir()
    config = (CLUSTER / "logs.conf").read_text(encoding="utf-8")
    (tmp_path / "logs.conf").write_text(config.replace("/tmp/ray", str(tmp_path)), encoding="utf-8")
    return tmp_path


def test_every_line_comes_out_as_it_was_written(node: Path) -> None:
    """Of sessions and files that begin later, through rotation, of any length and alphabet; each line once."""
    long = json.dumps({"message": "ü\t語 " * 50_000}, ensure_ascii=False)
    with _shown(node) as shown:
        logs = [_session(node, "2026-12-01_00-00-00_1") / file for file in _WRITTEN]
        for log in logs:
            _write(log, f"first of {log.name}")
        _wait_for(shown, 3)
        logs[0].rename(logs[0].with_suffix(".log.1"))
        _write(logs[0], long)
        _write(_session(node, "2026-12-01_00-10-00_2") / _WRITTEN[0], "of the next session")
        lines = _wait_for(shown, 5)
    assert sorted(lines) == sorted([f"first of {log.name}" for log in logs] + [long, "of the next session"])


def test_a_container_that_is_made_anew_goes_on_where_the_old_one_ended(node: Path) -> None:
    """What was said meanwhile is shown, what was shown is not said twice."""
    log = _session(node, "2026-12-01_00-00-00_1") / _WRITTEN[0]
    with _shown(node) as shown:
        _write(log, "before")
        _wait_for(shown, 1)
    _write(log, "meanwhile")
    with _shown(node) as shown:
        _write(log, "after")
        assert _wait_for(shown, 2) == ["meanwhile", "after"]


@contextmanager
def _shown(node: Path) -> Iterator[Path]:
    """A file with what rsyslog shows, started as `cluster/node.sh` does."""
    output = node / "shown"
    command = f'exec rsyslogd -n -i NONE -f "{node}/logs.conf" > >(exec cat >"{output}")'
    with subprocess.Popen(["bash", "-c", command]) as process:
        try:
            yield output
        finally:
            process.terminate()


def _session(node: Path, name: str) -> Path:
    folder = node / f"session_{name}" / "logs"
    (folder / "serve").mkdir(parents=True, exist_ok=True)
    return folder


def _write(log: Path, line: str) -> None:
    with log.open("a", encoding="utf-8") as file:
        file.write(line + "\n")


def _wait_for(shown: Path, num_lines: int) -> list[str]:
    """Return the lines that are shown as soon as there are so many, whole."""
    give_up_s = time.monotonic() + _LIMIT_S
    while True:
        text = shown.read_text(encoding="utf-8") if shown.exists() else ""
        if text.count("\n") >= num_lines or time.monotonic() > give_up_s:
            return text.splitlines()
        time.sleep(0.05)
