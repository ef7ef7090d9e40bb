"""The compiled kernels: built when their sources are new, and right where torch is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.engine.int8 import OwnLinear
from pipelines.engine.kernels import build
from pipelines.engine.kernels.functions import Kernels
from pipelines.engine.selection import ban, largest
from tests.unit.pipelines.engine.needs import with_each_kernels

needs_compiler = pytest.mark.skipif(
    not build.INSTRUCTIONS or shutil.which("c++") is None, reason="needs Linux, and a compiler"
)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """Return a copy of the script that builds, beside copies of the sources."""
    folder = tmp_path / "pipelines" / "engine" / "kernels"
    shutil.copytree(Path(build.__file__).parent, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder / "build.py"


def run(script: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the script and return what it said."""
    return subprocess.run(
        [sys.executable, script, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@needs_compiler
def test_a_library_is_of_its_sources(script: Path) -> None:
    """It is built once for each set of instructions; when a source changes, another one takes its place."""
    folder = script.parents[3] / "build"
    assert run(script).stdout.count("Built") == len(build.INSTRUCTIONS)
    first = set(folder.iterdir())
    assert run(script).stdout == ""
    with (script.parent / build.INSTRUCTIONS[0] / "layout.h").open("a") as header:
        header.write("// another\n")
    assert run(script).stdout.count("Built") == 1
    second = set(folder.iterdir())
    assert len(second) == len(first)
    assert len(second & first) == len(first) - 1


@needs_compiler
def test_what_is_there_and_cannot_be_loaded_is_built_by_force(script: Path) -> None:
    """Such as what a power cut left empty; what another kind of machine has in the same folder stays."""
    folder = script.parents[3] / "build"
    folder.mkdir()
    (other := folder / "kernels-of_another_machine-0.so").write_text("other")
    run(script)
    for library in (libraries := set(folder.iterdir()) - {other}):
        library.write_bytes(b"")
    assert run(script, "--force").stdout.count("Built") == len(build.INSTRUCTIONS)
    assert all(library.stat().st_size for library in libraries)
    assert other.is_file()


@needs_compiler
@pytest.mark.skipif(len(build.INSTRUCTIONS) < 2, reason="needs a machine with several sets of instructions")
def test_one_that_cannot_be_built_leaves_the_others(script: Path) -> None:
    """An old compiler does not know the newest instructions."""
    (script.parent / build.INSTRUCTIONS[0] / "layout.h").write_text("no C++")
    done = run(script)
    assert done.returncode == 1
    assert done.stdout.count("Built") == len(build.INSTRUCTIONS) - 1


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


@with_each_kernels
@settings(deadline=None)
@given(
    rows=st.integers(1, 4),
    columns=st.integers(1, 2500),
    number=st.integers(1, 9),
    seed=st.integers(0, 1000),
    num_banned=st.integers(0, 5),
)
def test_the_best_are_those_of_torch(
    kernels: Kernels, rows: int, columns: int, number: int, seed: int, num_banned: int
) -> None:
    """Log-probabilities count what is banned, and choose nothing of it."""
    draw = torch.Generator().manual_seed(seed)
    scores = torch.randn(rows, columns, generator=draw) * 8
    best = scores.argmax(1).tolist()
    bans = ([row % rows for row in range(num_banned)], [best[row % rows] for row in range(num_banned)])
    log_probs = torch.log_softmax(scores.double(), 1)
    ban(log_probs, bans)
    expected, at = largest(log_probs, number)
    values, ids = kernels.best(scores, bans, number)
    torch.testing.assert_close(values.double(), expected, rtol=1e-6, atol=1e-5)
    there = expected > -torch.inf
    assert torch.equal(ids[there], at[there])


@with_each_kernels
@settings(deadline=None)
@given(
    rows=st.integers(1, 35),
    inputs=st.sampled_from([48, 64]),
    columns=st.integers(1, 700),
    number=st.integers(1, 9),
    seed=st.integers(0, 1000),
    num_forbidden=st.integers(0, 3),
    num_banned=st.integers(0, 3),
)
def test_the_best_of_a_product_are_those_of_its_scores(
    kernels: Kernels,
    rows: int,
    inputs: int,
    columns: int,
    number: int,
    seed: int,
    num_forbidden: int,
    num_banned: int,
) -> None:
    """What is forbidden does not even count; what is banned counts, and is not chosen either.

    With AMX, 64 inputs are multiplied in tiles, and 48 are not.
    """
    draw = torch.Generator().manual_seed(seed)
    weight = torch.randint(-127, 128, (columns, inputs), dtype=torch.int8, generator=draw)
    linear = OwnLinear(weight, torch.rand(columns, generator=draw) * 0.01, None, kernels)
    x = torch.randn(rows, inputs, generator=draw)
    scores = linear(x)
    best = scores.topk(min(2, columns)).indices.tolist()
    forbidden = [row % rows for row in range(num_forbidden)], [best[row % rows][0] for row in range(num_forbidden)]
    banned = [row % rows for row in range(num_banned)], [best[row % rows][-1] for row in range(num_banned)]
    ban(scores, forbidden)
    expected, at = kernels.best(scores, banned, number)
    values, ids = linear.best(x, forbidden, banned, number)
    torch.testing.assert_close(values, expected, rtol=1e-6, atol=1e-5, equal_nan=True)
    there = expected > -torch.inf
    assert torch.equal(ids[there], at[there])


@with_each_kernels
def test_a_row_is_chosen_for_by_itself(kernels: Kernels) -> None:
    """Its neighbours and the number of threads change no bit, and one that is NaN stays alone."""
    draw = torch.Generator().manual_seed(0)
    weight = torch.randint(-127, 128, (5000, 256), dtype=torch.int8, generator=draw)
    linear = OwnLinear(weight, torch.rand(5000, generator=draw) * 0.01, None, kernels)
    x = torch.randn(40, 256, generator=draw)
    x[7] = torch.nan
    nothing: tuple[list[int], list[int]] = ([], [])
    alone = [linear.best(row[None], nothing, nothing, 3) for row in x]
    before = torch.get_num_threads()
    for num_threads in (1, 3):
        torch.set_num_threads(num_threads)
        values, ids = linear.best(x, nothing, nothing, 3)
        assert values[7].isnan().all()
        for row in set(range(40)) - {7}:
            assert torch.equal(values[row], alone[row][0][0])
            assert torch.equal(ids[row], alone[row][1][0])
    torch.set_num_threads(before)


@with_each_kernels
def test_a_row_without_usable_numbers_is_seen(kernels: Kernels) -> None:
    """As by torch: one NaN, nothing but NaN, or nothing but what is banned, and the other rows are as they were."""
    scores = torch.randn(4, 40_000, generator=torch.Generator().manual_seed(0))
    scores[1, 17_000], scores[2], scores[3] = torch.nan, torch.nan, -torch.inf
    expected = torch.log_softmax(scores, 1)[0].max()
    values, ids = kernels.best(scores, ([], []), 2)
    assert torch.isclose(values[0, 0], expected)
    assert ids[0, 0] == scores[0].argmax()
    assert values[1:].isnan().all()
