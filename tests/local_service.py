"""The service as `make serve` runs it, stopped as Ctrl-C stops it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from configs.loader import ROOT

_READY = "Ctrl-C stops everything"
_POLL_S = 0.1
_STOP_TIMEOUT_S = 60.0


@contextmanager
def local_service(variables: Mapping[str, str], log: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Run it until the block ends; it has to end well, then or by itself.

    Args:
        variables: Added to the environment.
        log: A file for what it says.

    Yields:
        Its process, and what it said until it was ready.
    """
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "deployments.local"],
            cwd=ROOT,
            env=os.environ | variables,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        yield process, _until_ready(process, log)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)  # Ctrl-C reaches all processes of a terminal
            try:
                process.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                raise
    assert process.returncode == 0, log.read_text(errors="replace")


def _until_ready(process: subprocess.Popen[bytes], log: Path) -> str:
    while _READY not in (said := log.read_text(errors="replace")):
        assert process.poll() is None, f"the service ended before it was ready:\n{said}"
        time.sleep(_POLL_S)
    return said
