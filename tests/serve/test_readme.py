"""Every block of the README is run, as it stands, against a running service and the demo model."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.documents import CodeBlock, code_blocks

_ROOT = Path(__file__).parents[2]
_BLOCKS = [block for block in code_blocks(_ROOT / "README.md") if not block.remark]
_TIMEOUT_S = 120


def _blocks(language: str) -> list[Any]:
    return [pytest.param(block, id=f"line {block.line}") for block in _BLOCKS if block.language == language]


@pytest.mark.parametrize("block", _blocks("python"))
def test_python_blocks_run(block: CodeBlock, demo_model_path: Path, tmp_path: Path) -> None:
    """From any folder, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", block.code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize("block", _blocks("bash"))
def test_shell_blocks_run(block: CodeBlock, service_url: str) -> None:
    """Every command succeeds; whatever answers in JSON is no error.

    `make` is left to `tests/contracts/test_documents.py`: these tests are what it runs.
    """
    commands = re.sub(r"^(\w+=\S+ )*make .*$", "", block.code, flags=re.MULTILINE).strip()
    if not commands:
        return
    commands = commands.replace("http://localhost:8000", service_url).replace("curl -s", "curl --fail-with-body -s")
    commands = commands.replace(".venv/bin/python", sys.executable)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=_ROOT,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip()


def test_the_readme_shows_what_comes_back(service_url: str) -> None:
    """The answer that the README prints is the service's, but for times and ids."""
    (shown,) = (json.loads(block.code) for block in _BLOCKS if block.language == "json")
    asked = next(block for block in _BLOCKS if "/api/v1/translate " in block.code)
    command = asked.code.replace("http://localhost:8000", service_url)
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=_TIMEOUT_S, check=True)
    came = json.loads(done.stdout)
    volatile = {"latency_ms", "request_id", "cached", "score"}
    assert {k: v for k, v in came.items() if k not in volatile} == {k: v for k, v in shown.items() if k not in volatile}
    assert came.keys() == shown.keys()
