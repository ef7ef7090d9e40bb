"""`pyproject.toml` says what is asked for, `constraints.txt` pins it: the two agree."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_ROOT = Path(__file__).parents[2]
_PACKAGES = ("configs", "deployments", "monitoring", "pipelines", "train")
_IMPORT = re.compile(r"^\s*(?:from|import) (\w+)(?: import|\.|$| as)", re.MULTILINE)
_PARTS = {"starlette", "pydantic-core"}
"""Of FastAPI and pydantic, which show them as their own."""


def _asked_for() -> list[Requirement]:
    document = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project = document["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values(), document["build-system"]["requires"]]
    return [Requirement(line) for lines in lists for line in lines]


def _pins() -> dict[str, Requirement]:
    lines = (_ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(pin.name): pin for pin in pins}


def test_whatever_is_asked_for_is_pinned_within_its_bounds() -> None:
    """Each direct dependency, the build's own included, has one exact version that its bounds accept."""
    pins = _pins()
    for requirement in _asked_for():
        pin = pins.get(canonicalize_name(requirement.name))
        assert pin is not None, f"{requirement.name} is not in constraints.txt; the command at its top writes the pins"
        (specifier,) = pin.specifier
        assert requirement.specifier.contains(specifier.version), f"{requirement} does not accept {pin}"


def test_whatever_is_imported_is_asked_for() -> None:
    """By its own name: what another dependency brings along today, it may leave out tomorrow."""
    asked_for = {canonicalize_name(requirement.name) for requirement in _asked_for()} | _PARTS
    distributions = packages_distributions()
    for package in _PACKAGES:
        for file in (_ROOT / package).rglob("*.py"):
            for name in set(_IMPORT.findall(file.read_text(encoding="utf-8"))) - {*_PACKAGES, *sys.stdlib_module_names}:
                assert asked_for & set(map(canonicalize_name, distributions[name])), f"{file} imports {name}"


def test_pins_are_exact_and_public() -> None:
    """Every line is `name==version`: no local build, address or path that another machine cannot have."""
    for pin in _pins().values():
        (specifier,) = pin.specifier
        assert specifier.operator == "==", pin
        assert "+" not in specifier.version, pin
        assert pin.url is None, pin
