"""What the service leans on fails under a steady load: requests are slower, never wrong and never lost."""

from __future__ import annotations

import asyncio

import pytest

from tests.chaos.conftest import LoadOn
from tests.chaos.table import record
from tests.redis_server import RedisServer

pytestmark = pytest.mark.chaos


async def test_redis_killed(redis_server: RedisServer, load: LoadOn) -> None:
    """And started again later."""
    async with load() as running:
        running.fault()
        await asyncio.to_thread(redis_server.kill)
        await running.until(120)
        await asyncio.to_thread(redis_server.start)
        await running.until(60)
    record("Redis killed, started again later", running.report)
    assert not running.report.wrong
    assert not running.report.first_try_errors


async def test_redis_hung(redis_server: RedisServer, load: LoadOn) -> None:
    """Connections stay open and nothing comes back."""
    async with load() as running:
        running.fault()
        redis_server.freeze()
        await running.until(120)
        redis_server.thaw()
        await running.until(60)
    record("Redis hung, goes on later", running.report)
    assert not running.report.wrong
    assert not running.report.first_try_errors


async def test_redis_full(redis_server: RedisServer, load: LoadOn) -> None:
    """It refuses every write."""
    async with load() as running:
        running.fault()
        redis_server.command("CONFIG", "SET", "maxmemory", "1")
        await running.until(120)
        redis_server.command("CONFIG", "SET", "maxmemory", "0")
        await running.until(30)
    record("Redis full", running.report)
    assert not running.report.wrong
    assert not running.report.first_try_errors
