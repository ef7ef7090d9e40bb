"""Imports point one way, come from this checkout, and stay light where lightness was promised."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_PACKAGES = ("configs", "deployments", "monitoring", "pipelines", "train")


@pytest.mark.parametrize("name", _PACKAGES)
def test_packages_come_from_the_checkout(name: str) -> None:
    """A foreign package of the same name in site-packages would win silently."""
    assert importlib.import_module(name).__path__[0] == str(_ROOT / name)


def test_packages_are_found_from_any_folder(tmp_path: Path) -> None:
    """Ray starts workers in folders of its own: the editable install leads them to the checkout."""
    code = f"import {', '.join(_PACKAGES)}; print(*(set(each.__path__[0] for each in ({', '.join(_PACKAGES)}))))"
    found = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert set(found.stdout.split()) == {str(_ROOT / name) for name in _PACKAGES}


def test_imports_point_one_way() -> None:
    """The contracts of import-linter in `pyproject.toml` are kept."""
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint, "--no-cache"], cwd=_ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("module", ["deployments.ingress", "deployments.app", "deployments.local"])
def test_the_ingress_loads_no_torch(module: str) -> None:
    """A replica that only routes must be small and start fast."""
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=_ROOT, check=False).returncode == 0
