"""`make install` on machines that lack something: one sentence with the way out, and an exit code of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_PYTHON = os.path.realpath(sys.executable)


class Machine:
    """A checkout of nothing but the set-up, and a PATH on which a test decides what there is."""

    def __init__(self, folder: Path) -> None:
        self.checkout = folder / "checkout"
        self._bin = folder / "bin"
        for each in (self.checkout / "scripts", self._bin):
            each.mkdir(parents=True)
        shutil.copy(_ROOT / "scripts" / "setup.sh", self.checkout / "scripts")
        self.write("pyproject.toml", '[project]\nname = "nothing"\nversion = "1"\n')
        self.write("constraints.txt", "setuptools==99999.0\n")
        for name in ("bash", "dirname", "cat", "cksum", "head", "tail", "grep", "sed", "awk", "df", "rm", "env"):
            (self._bin / name).symlink_to(str(shutil.which(name)))

    def write(self, name: str, text: str) -> None:
        """Write a file of the checkout."""
        (self.checkout / name).write_text(text, encoding="utf-8")

    def has(self, name: str, script: str) -> None:
        """Put a command on PATH."""
        command = self._bin / name
        command.unlink(missing_ok=True)
        command.write_text(f"#!/usr/bin/env bash\n{script}\n", encoding="utf-8")
        command.chmod(0o755)

    def has_python(self) -> None:
        """Put a real Python on PATH."""
        self.has("python3.11", f'exec {_PYTHON} "$@"')

    def set_up(self, **variables: str) -> tuple[int, list[str]]:
        """Run the set-up; return its exit code and the lines of its standard error."""
        done = subprocess.run(
            [self.checkout / "scripts" / "setup.sh"],
            env={"PATH": str(self._bin), "HOME": str(self.checkout), "PIP_CONFIG_FILE": os.devnull} | variables,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stderr.splitlines()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine with nothing but the standard tools, and disk enough."""
    made = Machine(tmp_path)
    made.has("df", 'echo "Filesystem 1024-blocks Used Available Capacity Mounted"; echo "x 9 9 99999999 9% /"')
    return made


def test_no_python(machine: Machine) -> None:
    """Without Python 3.11 on PATH; one that is too old is none."""
    machine.has("python3", "exit 1")
    code, (sentence,) = machine.set_up()
    assert code == 3
    assert "No Python 3.11 or newer was found on PATH" in sentence
    assert "make install PYTHON=" in sentence


def test_a_python_that_was_named_and_does_not_fit(machine: Machine) -> None:
    """The one that was asked for is taken or refused, never replaced by another."""
    machine.has_python()
    code, (sentence,) = machine.set_up(PYTHON="python3.9")
    assert code == 3
    assert "PYTHON=python3.9" in sentence


def test_no_venv_module(machine: Machine) -> None:
    """Debian ships Python without it; the sentence names the package."""
    machine.has("python3.11", f'[[ $1 != -m ]] || exit 1; exec {_PYTHON} "$@"')
    code, (sentence,) = machine.set_up()
    assert code == 4
    assert "venv module" in sentence
    assert "apt-get install python3." in sentence


def test_no_disk(machine: Machine) -> None:
    """Space is looked at before anything is downloaded."""
    machine.has_python()
    machine.has("df", 'echo "Filesystem 1024-blocks Used Available Capacity Mounted"; echo "x 9 9 1024 9% /"')
    code, (sentence,) = machine.set_up()
    assert code == 5
    assert "Not enough disk space: 9 GB" in sentence
    assert not (machine.checkout / ".venv").exists()


def test_no_index(machine: Machine) -> None:
    """An index that nobody answers for; the sentence names the variables that help."""
    machine.has_python()
    code, (sentence,) = machine.set_up(PIP_INDEX_URL="http://127.0.0.1:9/simple")
    assert code == 6
    assert "package index cannot be reached" in sentence
    assert "PIP_INDEX_URL" in sentence


@pytest.mark.parametrize(
    ("said", "code", "sentence"),
    [
        ("ERROR: Could not install packages: [Errno 28] No space left on device", 5, "disk space"),
        ("SSLError(SSLCertVerificationError(1, 'CERTIFICATE_VERIFY_FAILED'))", 6, "PIP_CERT"),
        ("ERROR: No matching distribution found for torch==2.13.0", 7, "no wheel of torch==2.13.0 for"),
        ("ERROR: ResolutionImpossible: for help visit ...", 8, "constraints.txt does not allow"),
        ("ERROR: something else", 1, "install.log says why"),
    ],
)
def test_what_pip_said_becomes_a_sentence(machine: Machine, said: str, code: int, sentence: str) -> None:
    """What pip reports in a page of text comes out as what to do."""
    pip = f'#!/bin/bash\n[[ $1 == -c ]] && exit 0\necho "{said}" >>.venv/install.log\nexit 1\n'
    make_venv = f"mkdir -p .venv/bin; cat >.venv/bin/python <<'EOF'\n{pip}EOF\nchmod +x .venv/bin/python"
    machine.has("python3.11", f'[[ $1 == -c ]] && exec {_PYTHON} "$@"\nPATH=/usr/bin:/bin; {make_venv}')
    assert machine.set_up()[0] == code
    assert sentence in machine.set_up()[1][-1]


def test_a_second_run_does_nothing_until_something_changes(machine: Machine) -> None:
    """The stamp is for what was installed; another dependency, or a moved checkout, is installed again."""
    pip = '#!/bin/bash\n[[ $1 == -c ]] && exit 0\n[[ $2 == pip ]] || exit 1\necho "$@" >>pip-calls\n'
    make_venv = f"mkdir -p .venv/bin; cat >.venv/bin/python <<'EOF'\n{pip}EOF\nchmod +x .venv/bin/python"
    machine.has("python3.11", f'[[ $1 == -c ]] && exec {_PYTHON} "$@"\nPATH=/usr/bin:/bin; {make_venv}')
    calls = machine.checkout / "pip-calls"
    assert machine.set_up() == (0, [])
    first = calls.read_text()
    assert "--only-binary=:all:" in first
    assert "--constraint constraints.txt" in first
    machine.set_up()
    assert calls.read_text() == first
    machine.write("constraints.txt", "setuptools==99999.1\n")
    machine.set_up()
    second = calls.read_text()
    assert len(second) == 2 * len(first)
    moved = machine.checkout.with_name("moved")
    machine.checkout = machine.checkout.rename(moved)
    machine.set_up()
    assert (moved / "pip-calls").read_text() != second


def test_kernels_are_built_each_time_and_are_optional(machine: Machine) -> None:
    """New sources may have come without new dependencies; without a compiler everything else works."""
    python = '#!/bin/bash\n[[ $2 == pip || $1 == -c ]] && exit 0\necho "$@" >>built\nexit 1\n'
    make_venv = f"mkdir -p .venv/bin; cat >.venv/bin/python <<'EOF'\n{python}EOF\nchmod +x .venv/bin/python"
    machine.has("python3.11", f'[[ $1 == -c ]] && exec {_PYTHON} "$@"\nPATH=/usr/bin:/bin; {make_venv}')
    for times in (1, 2):
        assert machine.set_up() == (0, [])
        assert (machine.checkout / "built").read_text() == "-m pipelines.engine.kernels.build\n" * times


def test_a_link_to_another_checkouts_environment_is_replaced(machine: Machine) -> None:
    """Its scripts are of the other folder; to make it again in place would empty what the other one works with."""
    others = machine.checkout.with_name("others")
    others.mkdir()
    (others / ".installed").write_text("/somewhere/else\n")
    (machine.checkout / ".venv").symlink_to(others)
    machine.has_python()
    machine.set_up(PIP_INDEX_URL="http://127.0.0.1:9/simple")
    assert (others / ".installed").is_file()
    assert not (machine.checkout / ".venv").is_symlink()


def test_secrets_stay_out_of_commits_and_of_what_jobs_upload() -> None:
    """Ray leaves out of a job's working directory what git ignores."""
    ignored = (_ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert {".env", "/cluster/secrets/"} <= set(ignored)
