"""Both stores keep keys and count usage alike, in a file and in a real Redis."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deployments.access.keys import KeyLimits, make_key
from deployments.access.redis_store import RedisKeyStore
from deployments.access.store import Added, KeyStore, SqliteKeyStore, Usage
from pipelines.breaker import CircuitBreaker
from pipelines.errors import UnavailableError
from pipelines.shared_redis import SharedRedis
from tests.redis_server import RedisServer, running_redis


@pytest.fixture(params=["sqlite", "redis"])
async def store(request: pytest.FixtureRequest, tmp_path: Path, redis_server: RedisServer) -> AsyncIterator[KeyStore]:
    """An empty store of each kind."""
    if request.param == "sqlite":
        yield SqliteKeyStore(tmp_path / "var" / "keys.sqlite3")
        return
    redis_server.command("FLUSHALL")
    redis = SharedRedis(f"redis://127.0.0.1:{redis_server.port}/1", timeout_s=5, content="keys")
    yield RedisKeyStore(redis)
    await redis.close()


async def test_a_key_comes_back_as_it_was(store: KeyStore) -> None:
    """Limits, scopes and times included; a later record takes the place of an earlier one."""
    _, record = make_key("Ann", ("translate", "admin"), KeyLimits(requests_per_second=3, adapters=("medical",)))
    assert await store.get(record.id) is None
    await store.put(record)
    assert await store.get(record.id) == record
    revoked = record.model_copy(update={"revoked": record.created})
    await store.put(revoked)
    assert await store.all() == [revoked]


async def test_usage_adds_up_from_many_writers(store: KeyStore) -> None:
    """Twenty at the same time: none is lost, months and keys are apart."""
    await asyncio.gather(*(store.add_usage("a", "2026-11", Usage(10, 1)) for _ in range(20)))
    assert await store.add_usage("a", "2026-11", Usage(-5, 0)) == Added(True, Usage(195, 20))
    assert await store.usage("a", "2026-12") == Usage()
    assert await store.usage("b", "2026-11") == Usage()


async def test_a_quota_lets_in_as_many_writers_as_fit(store: KeyStore) -> None:
    """Nine of twenty at the same time, to the last character; what is too much leaves no trace, even as the first."""
    assert await store.add_usage("a", "2026-11", Usage(91, 1), quota=90) == Added(False, Usage())
    added = await asyncio.gather(*(store.add_usage("a", "2026-11", Usage(10, 1), quota=90) for _ in range(20)))
    assert sum(each.fits for each in added) == 9
    assert await store.add_usage("a", "2026-11", Usage(1, 1), quota=90) == Added(False, Usage(90, 9))
    assert await store.usage("a", "2026-11") == Usage(90, 9)


async def test_what_is_added_under_one_token_is_added_once(store: KeyStore) -> None:
    """Who got no answer asks again; what was over the quota was not added, so its token is as good as new."""
    for _ in range(2):
        assert await store.add_usage("a", "2026-11", Usage(10, 1), quota=10, token="first") == Added(True, Usage(10, 1))
    assert await store.add_usage("a", "2026-11", Usage(5, 1), quota=10, token="second") == Added(False, Usage(10, 1))
    assert await store.add_usage("a", "2026-11", Usage(5, 1), quota=15, token="second") == Added(True, Usage(15, 2))


async def test_nothing_that_would_be_missed_in_redis_has_a_time_to_live(redis_server: RedisServer) -> None:
    """A cache in the same Redis that is full pushes out translations, not keys and not what is to be billed."""
    redis_server.command("FLUSHALL")
    redis = SharedRedis(f"redis://127.0.0.1:{redis_server.port}/0", timeout_s=5, content="keys")
    store = RedisKeyStore(redis)
    _, record = make_key("Ann", ("translate",))
    await store.put(record)
    await store.add_usage(record.id, "2026-11", Usage(10, 1))
    await redis.close()
    names = redis_server.command("KEYS", "*")
    assert isinstance(names, list)
    assert [redis_server.command("TTL", name) for name in names] == [-1, -1]


async def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Nobody else on the machine reads the hashes."""
    file = tmp_path / "keys.sqlite3"
    await SqliteKeyStore(file).all()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_a_store_that_cannot_be_used_says_so_without_details(tmp_path: Path) -> None:
    """A folder where the file should be, a port where nothing listens: unavailable, no path, no address."""
    with pytest.raises(UnavailableError, match=r"^the store of the keys cannot be used$"):
        await SqliteKeyStore(tmp_path).all()
    redis = SharedRedis("redis://127.0.0.1:1/0", timeout_s=1, content="keys")
    with pytest.raises(UnavailableError, match=r"^the store of the keys cannot be reached$"):
        await RedisKeyStore(redis).all()
    await redis.close()


async def test_a_redis_that_is_gone_is_left_alone_until_a_probe_finds_it(tmp_path: Path) -> None:
    """After three failures in a row operations fail at once; after the cool-down one of them tries."""
    now_s = 0.0
    breaker = CircuitBreaker(cool_down_s=5.0, clock_s=lambda: now_s)
    with running_redis(tmp_path) as server:
        redis = SharedRedis(f"redis://127.0.0.1:{server.port}/1", timeout_s=5, content="keys", breaker=breaker)
        store = RedisKeyStore(redis)
        assert await store.all() == []
        server.kill()
        for _ in range(3):
            assert breaker.state == "closed"
            with pytest.raises(UnavailableError):
                await store.all()
        server.start()
        with pytest.raises(UnavailableError):
            await store.all()
        assert breaker.state == "open"
        now_s = 5.0
        assert await store.all() == []
        assert breaker.state == "closed"
        await redis.close()


async def test_a_redis_that_is_full_is_not_left_alone(tmp_path: Path) -> None:
    """It refuses what is written and still says which keys there are."""
    breaker = CircuitBreaker()
    with running_redis(tmp_path) as server:
        redis = SharedRedis(f"redis://127.0.0.1:{server.port}/1", timeout_s=5, content="keys", breaker=breaker)
        store = RedisKeyStore(redis)
        _, record = make_key("Ann", ("translate",), KeyLimits())
        await store.put(record)
        server.command("CONFIG", "SET", "maxmemory", "1")
        for _ in range(4):
            with pytest.raises(UnavailableError):
                await store.put(record)
        assert await store.get(record.id) == record
        assert breaker.state == "closed"
        await redis.close()


async def test_a_redis_that_hangs_holds_nobody_up(tmp_path: Path) -> None:
    """An operation is tried twice within its time-out, not as often as the client library would."""
    with running_redis(tmp_path) as server:
        redis = SharedRedis(f"redis://127.0.0.1:{server.port}/1", timeout_s=0.05, content="keys")
        retry = redis.client.get_retry()
        assert retry is not None
        assert retry.get_retries() == 1
        server.freeze()
        with pytest.raises(UnavailableError):
            await RedisKeyStore(redis).all()
        server.thaw()
        await redis.close()
