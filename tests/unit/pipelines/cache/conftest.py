"""Strategies and servers of the cache's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.redis_server import RedisServer, running_redis


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A real Redis for one test, which may kill or fill it."""
    with running_redis(tmp_path) as server:
        yield server
