"""Fixtures for all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

# Ray reads it when it is first imported, and test modules are imported before any fixture runs.
os.environ.setdefault("RAY_AUTH_MODE", "token")

import pytest

from tests.redis_server import RedisServer, running_redis
from train.demo import ensure_demo_model


@pytest.fixture(scope="session")
def demo_model_path() -> Path:
    """The demo model, built if it is missing or made of something else."""
    return ensure_demo_model().resolve()


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A real Redis without a password."""
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of this project's tests."""
    parser.addoption(
        "--fidelity-examples",
        type=int,
        default=60,
        help="documents that tests/fidelity tries per format (10000 takes half an hour)",
    )
