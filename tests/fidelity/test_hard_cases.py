"""The table of hard cases, as `python -m benchmarks.fidelity` runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.fidelity import ours, survives

_CASES = json.loads((Path(__file__).parents[1] / "data" / "fidelity.json").read_text(encoding="utf-8"))


def _named(cases: list[dict[str, Any]]) -> list[Any]:
    return [pytest.param(case, id=f"{case['format']}: {case['name']}") for case in cases]


@pytest.mark.parametrize("case", _named(_CASES["round_trip"]))
def test_comes_back(case: dict[str, Any]) -> None:
    """Byte for byte, through all stages, from a model that changes nothing."""
    assert ours([case]) == [case["text"]]


@pytest.mark.parametrize("case", _named(_CASES["survival"]))
def test_survives(case: dict[str, Any]) -> None:
    """What must not change is there as often as in the source, though the model loses it."""
    assert survives(case)
