"""Shell scripts and the Makefile: clean, executable, and the one set of commands everywhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

_ROOT = Path(__file__).parents[2]
_SCRIPTS = (".ci/run", "scripts/setup.sh", "scripts/setup_mac.sh", "cluster/node.sh")
_TARGETS = {"audit", "chaos", "clean", "format", "help", "install", "lint", "monitoring", "serve", "test"}


@pytest.mark.parametrize("script", _SCRIPTS)
def test_scripts_are_clean(script: str) -> None:
    """Shellcheck has nothing to say, and each script can be run as it is."""
    shellcheck = Path(sys.executable).with_name("shellcheck")
    if not shellcheck.exists():
        pytest.skip("there is no wheel of shellcheck for this platform")
    done = subprocess.run([shellcheck, script], cwd=_ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert (_ROOT / script).stat().st_mode & 0o111


def test_help_lists_every_command() -> None:
    """`make` alone says what there is."""
    done = subprocess.run(["make", "--no-print-directory"], cwd=_ROOT, capture_output=True, text=True, check=True)
    assert set(re.findall(r"^make (\w+)", done.stdout, re.MULTILINE)) == _TARGETS


def test_everyone_runs_the_same_commands() -> None:
    """Continuous integration runs `make test`; each hook of pre-commit is a command of the Makefile."""
    commands = [line for line in (_ROOT / ".ci/run").read_text().splitlines() if line.startswith("make")]
    assert commands == ["make test"]
    hooks = yaml.safe_load((_ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    for hook in hooks:
        command, target = hook["entry"].split()
        assert command == "make"
        assert target in _TARGETS


def test_serve_passes_on_what_was_asked_for() -> None:
    """`MODEL` and `PORT` reach the service; without `MODEL` the configuration decides."""

    def recipe(*arguments: str) -> str:
        # These tests are run by make: without its variables, so that this make is one of its own.
        variables = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
        command = ["make", "--no-print-directory", "--dry-run", "serve", *arguments]
        done = subprocess.run(command, cwd=_ROOT, env=variables, capture_output=True, text=True, check=True)
        return done.stdout.splitlines()[-1]

    assert "NLLB__MODEL__NAME='some/model'" in recipe("MODEL=some/model")
    assert "PORT='8001'" in recipe("PORT=8001")
    assert "NLLB__MODEL__NAME" not in recipe()


class Mac:
    """A checkout whose set-up script is run on commands that answer as a Mac's do."""

    def __init__(self, folder: Path) -> None:
        self.checkout = folder / "checkout"
        self._bin = folder / "bin"
        for each in (self.checkout / "scripts", self._bin):
            each.mkdir(parents=True)
        shutil.copy(_ROOT / "scripts" / "setup_mac.sh", self.checkout / "scripts")
        for name in ("bash", "dirname", "mkdir", "env", "cat", "chmod"):
            (self._bin / name).symlink_to(str(shutil.which(name)))

    def has(self, name: str, script: str) -> None:
        """Put a command on PATH."""
        self._write(self._bin / name, script)

    def is_apple_silicon(self, *, gpu: bool) -> None:
        """A native terminal, an x86-64 Python 3.11 left over from an older Mac, and a native Python 3.12."""
        self.has("uname", "[[ $1 == -s ]] && echo Darwin || echo arm64")
        self.has("sysctl", "echo 1")
        self.has("python3.11", "exit 1")
        self.has("python3.12", "exit 0")
        made = f"mkdir -p .venv/bin; echo 'exit {int(not gpu)}' >.venv/bin/python; chmod +x .venv/bin/python"
        self._write(self.checkout / "scripts" / "setup.sh", f'echo "python: $PYTHON"; {made}')

    def set_up(self) -> subprocess.CompletedProcess[str]:
        """Run the script."""
        script = self.checkout / "scripts" / "setup_mac.sh"
        return subprocess.run([script], env={"PATH": str(self._bin)}, capture_output=True, text=True, check=False)

    @staticmethod
    def _write(path: Path, script: str) -> None:
        path.write_text(f"#!/usr/bin/env bash\n{script}\n", encoding="utf-8")
        path.chmod(0o755)


@pytest.fixture
def mac(tmp_path: Path) -> Mac:
    """A checkout, and no command that tells anything yet."""
    return Mac(tmp_path)


@pytest.mark.parametrize(("gpu", "sentence"), [(True, "answers through MPS"), (False, "does not answer through MPS")])
def test_apple_silicon(mac: Mac, gpu: bool, sentence: str) -> None:
    """The native Python is taken, folders are made, the GPU is tried; a second run does the same."""
    mac.is_apple_silicon(gpu=gpu)
    for _ in range(2):
        done = mac.set_up()
        assert done.returncode == 0, done.stderr
        assert "python: python3.12" in done.stdout
        assert sentence in done.stdout
    assert (mac.checkout / "models" / "lora-adapters").is_dir()


@pytest.mark.parametrize(
    ("uname", "arm64", "sentence"),
    [
        ("Linux x86_64", "0", "make install"),
        ("Darwin x86_64", "0", "Intel Mac"),
        ("Darwin x86_64", "1", "Rosetta"),
    ],
)
def test_what_is_no_apple_silicon(mac: Mac, uname: str, arm64: str, sentence: str) -> None:
    """Another system, an Intel Mac and a terminal under Rosetta are told apart, each with its way out."""
    system, machine = uname.split()
    mac.has("uname", f"[[ $1 == -s ]] && echo {system} || echo {machine}")
    mac.has("sysctl", f"echo {arm64}")
    done = mac.set_up()
    assert done.returncode == 1
    assert sentence in done.stderr


def test_a_mac_without_a_native_python(mac: Mac) -> None:
    """A Python for Intel is none: PyTorch has no wheels for it."""
    mac.is_apple_silicon(gpu=True)
    mac.has("python3.12", "exit 1")
    done = mac.set_up()
    assert done.returncode == 1
    assert "brew install python@3.12" in done.stderr
