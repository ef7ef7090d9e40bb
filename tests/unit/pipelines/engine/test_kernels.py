"""The compiled kernels: built when their sources are new, and right where torch is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipelines.engine.kernels import build
from pipelines.engine.kernels.functions import Kernels, loaded
from pipelines.engine.selection import ban, largest
from tests.unit.pipelines.engine.needs import needs_kernels

needs_compiler = pytest.mark.skipif(
    build.build_is_of_no_use() or shutil.which("c++") is None, reason="needs x86-64 Linux, and a compiler"
)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """Return a copy of the script that builds, beside copies of the sources."""
    folder = tmp_path / "pipelines" / "engine" / "kernels"
    shutil.copytree(Path(build.__file__).parent, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder / "build.py"


def run(script: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the script and return what it said."""
    return subprocess.run(
        [sys.executable, script], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


@needs_compiler
def test_a_library_is_of_its_sources(script: Path) -> None:
    """It is built once; when a source changes, another one takes its place."""
    folder = script.parents[3] / "build"
    assert "Built" in run(script).stdout
    (first,) = folder.iterdir()
    assert run(script).stdout == ""
    with (script.parent / "simd.h").open("a") as header:
        header.write("// another\n")
    assert "Built" in run(script).stdout
    (second,) = folder.iterdir()
    assert second != first


@needs_compiler
def test_why_nothing_was_built_is_said(script: Path) -> None:
    """A compiler that is not there, or that fails, and nothing is left behind."""
    missing = run(script, CXX="no-such-compiler")
    assert missing.returncode == 1
    assert "there is no no-such-compiler" in missing.stderr
    (script.parent / "int8.cpp").write_text("no C++")
    failed = run(script)
    assert failed.returncode == 1
    assert "int8.cpp" in failed.stderr
    assert not list((script.parents[3] / "build").iterdir())


@needs_kernels
@given(
    rows=st.integers(1, 4),
    columns=st.integers(1, 2500),
    number=st.integers(1, 9),
    seed=st.integers(0, 1000),
    num_banned=st.integers(0, 5),
)
def test_the_best_are_those_of_torch(rows: int, columns: int, number: int, seed: int, num_banned: int) -> None:
    """Log-probabilities count what is banned, and choose nothing of it."""
    draw = torch.Generator().manual_seed(seed)
    scores = torch.randn(rows, columns, generator=draw) * 8
    best = scores.argmax(1).tolist()
    bans = ([row % rows for row in range(num_banned)], [best[row % rows] for row in range(num_banned)])
    log_probs = torch.log_softmax(scores.double(), 1)
    ban(log_probs, bans)
    expected, at = largest(log_probs, number)
    values, ids = kernels().best(scores, bans, number)
    torch.testing.assert_close(values.double(), expected, rtol=1e-6, atol=1e-5)
    there = expected > -torch.inf
    assert torch.equal(ids[there], at[there])


@needs_kernels
def test_a_row_without_usable_numbers_is_seen() -> None:
    """As by torch: one NaN, nothing but NaN, or nothing but what is banned, and the other rows are as they were."""
    scores = torch.randn(4, 40_000, generator=torch.Generator().manual_seed(0))
    scores[1, 17_000], scores[2], scores[3] = torch.nan, torch.nan, -torch.inf
    expected = torch.log_softmax(scores, 1)[0].max()
    values, ids = kernels().best(scores, ([], []), 2)
    assert torch.isclose(values[0, 0], expected)
    assert ids[0, 0] == scores[0].argmax()
    assert values[1:].isnan().all()


def kernels() -> Kernels:
    """Return those of this machine."""
    of_machine = loaded()
    assert of_machine is not None
    return of_machine
