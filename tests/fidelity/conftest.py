"""How long the tests of fidelity search."""

from __future__ import annotations

import pytest


@pytest.fixture
def num_examples(request: pytest.FixtureRequest) -> int:
    """Documents that are tried per format."""
    return int(request.config.getoption("--fidelity-examples"))
